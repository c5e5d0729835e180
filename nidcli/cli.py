"""The command `nid`: a table of commands, each imported only when it is asked for."""

from __future__ import annotations

import atexit
import importlib
import inspect
import os
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from nidcli import __version__

# Name: module, and its line in `nid --help`. A module's function `command` is the command, its docstring the rest of
# its help.
COMMANDS = {
    "learn-dict": ("nidcli.commands.learn_dict", "Learn a dictionary from images or other signals."),
    "encode": ("nidcli.commands.encode", "Turn images into sparse codes of a dictionary."),
    "refine": ("nidcli.commands.refine", "Improve codes by a few steps on their images."),
    "decode": ("nidcli.commands.decode", "Turn codes back into images, at any size."),
    "inpaint": ("nidcli.commands.inpaint", "Fill holes in photos, given or found."),
    "upscale": ("nidcli.commands.upscale", "Enlarge small photos."),
    "decompose-video": ("nidcli.commands.decompose_video", "Split video into background, foreground and masks."),
    "ct-recon": ("nidcli.commands.ct_recon", "Reconstruct CT slices from few views; not for diagnosis."),
    "sdf-recon": ("nidcli.commands.sdf_recon", "Turn point clouds into meshes."),
    "convert": ("nidcli.commands.convert", "Turn the paper's published checkpoint into a dictionary."),
    "info": ("nidcli.commands.info", "Show what a dictionary or a code file holds."),
    "verify": ("nidcli.commands.verify", "Check that dictionaries and code files are whole."),
    "eval": ("nidcli.commands.eval", "Measure results against references."),
    "doctor": ("nidcli.commands.doctor", "Show versions, devices, extras and bundled dictionaries."),
}


class _Command(TyperCommand):
    """A command whose help lists its options in groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or default, []).append(record)
        for title, records in [(title, records) for title, records in groups.items() if records]:
            with formatter.section(title):
                formatter.write_dl(records)


class _Group(TyperGroup):
    """A group that lists its commands from the table and imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest


def load(name: str) -> Any:
    """The command of that name, ready to run."""
    from nidcli.commands.layers import spread

    module, line = COMMANDS[name]
    function = importlib.import_module(module).command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=_Command, help=f"{line}\n\n{inspect.cleandoc(function.__doc__ or '')}")(spread(function))
    return typer.main.get_command(single)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"nid {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    # Plain help: the table of rich costs a tenth of a second, and help strings stay free of markup for completion.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def nid(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Neural implicit dictionaries: learn one, then solve for any signal in it."""


def _listed() -> None:
    """Stands for a command in listings."""


for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(_listed)


def main() -> NoReturn:
    """Run `nid` with the arguments of the process; every error is one sentence and an exit status.

    Typer itself answers usage errors (2), Ctrl-C (130) and a closed pipe (1, quietly).
    """
    # Before torch is imported: its idle threads sleep instead of spinning. Where something else uses a core (another
    # program, or the threads that read files) spinning makes every small parallel step wait for a time slice.
    # A few microseconds of spinning (GNU's OpenMP counts turns) bridge the gap between two products.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")
    warnings.filterwarnings("ignore", module=r"PIL\.|tifffile")  # damaged files fail with a sentence of their own
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    try:
        app(prog_name="nid")
        sys.exit(0)
    except Exception as error:
        from nidcli.console import complain, explain

        if "--debug" in sys.argv:
            import traceback

            traceback.print_exc()
        told = explain(error)
        complain(str(told))
        sys.exit(told.exit_code)


def run() -> NoReturn:
    """`main` as a process of its own: it leaves at once, since by then everything is written and told.

    Taking an interpreter with torch in it apart takes more than half a second.
    """
    try:
        main()
    except SystemExit as stop:
        if not isinstance(stop.code, int | None):
            raise
        status = stop.code or 0
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read our output is gone
        status = status or 1
    os._exit(status)
