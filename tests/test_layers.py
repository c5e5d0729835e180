"""The architecture, held by a test: imports point one way, files stay short, and `nid --help` stays quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "nidcli"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(Path(__file__).parent.glob("*.py"))

# What each part may import of the package, beside `errors` and itself; a part is a module or a folder.
ALLOWED = {
    "errors": set(),
    "codes": set(),
    "grid": set(),
    "prox": set(),
    "problem": {"codes"},
    "threads": set(),
    "linear": set(),
    "precision": set(),
    "solvers": {"problem", "prox", "codes", "threads", "linear", "precision"},
    "operators": {"grid"},
    "dictionary": {"codes", "grid"},
    "structure": set(),
    "presets": {"structure"},
    "container": {"files"},
    "metadata": set(),
    "codefile": {"codes", "container", "structure"},
    "artifacts": {"codes", "codefile", "container", "metadata", "model", "problem", "structure"},
    "metrics": {"grid"},
    "phantoms": {"grid"},
    "files": set(),
    "video": {"codes", "dictionary", "engine", "files", "grid", "model", "operators", "problem", "solvers"}
    | {"artifacts", "metadata", "progress", "report", "training"},  # to learn and to keep a background
    "outcome": set(),
    "console": {"files", "outcome"},
    "batch": {"console", "files", "outcome"},
    "cli": {"commands", "console"},
}
TOP = {"cli", "commands", "console"}  # what nothing below them may import; a part without a line above is below them
LIBRARIES = {
    "PIL": "files",
    "cv2": "files",
    "trimesh": "files",
    "tifffile": "files",
    "h5py": "files",
    "nibabel": "files",
    "pydicom": "files",
    "point_cloud_utils": "sdf",
    "skimage.io": "files",
    "rich": "console",
}
SLOW = ("torch", "scipy", "skimage", "cv2", "trimesh", "point_cloud_utils")  # of these `nid --help` may import none


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """Dotted names that a file imports; `at_import`: only those that run when the file is imported."""
    for node in statements(path) if at_import else ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def statements(path: Path) -> Iterator[ast.AST]:
    """Every node outside functions and `if TYPE_CHECKING`."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        yield node
        types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not (types_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            nodes.extend(ast.iter_child_nodes(node))


def own_parts(path: Path) -> set[str]:
    """Parts of the package that a file imports, anywhere in it."""
    dotted = [module.split(".") for module in imported(path) if module.startswith("nidcli.")]
    return {names[1] for names in dotted if names[1] != "__version__"}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_one_way(path: Path):
    mine, theirs = part(path), own_parts(path) - {part(path), "errors"}
    if mine in ALLOWED:
        assert theirs <= ALLOWED[mine], f"{name(path)} may not import {sorted(theirs - ALLOWED[mine])}"
    elif mine == "commands":
        assert theirs & {"cli", "solvers", "operators", "prox"} == set(), f"{name(path)}: commands do no maths"
    elif not mine.startswith("__"):
        assert theirs & TOP == set(), f"{name(path)} may not import {sorted(theirs & TOP)}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_library_is_imported_where_it_belongs(path: Path):
    for module in imported(path):
        for library, owner in LIBRARIES.items():
            if f"{module}.".startswith(f"{library}."):
                assert part(path) == owner, f"only {owner} imports {library}, not {name(path)}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_general_systems_are_solved_in_one_place(path: Path):
    """Where batches of them come out right."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    wrong = {f"torch.linalg.{each}" for each in ("solve", "solve_ex", "inv", "inv_ex", "lu_factor", "lu_solve", "det")}
    assert name(path) == "linear.py" or not calls & wrong, calls & wrong


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_half_precision_is_asked_for_in_one_place(path: Path):
    """Which knows where it is slow."""
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert name(path) == "precision.py" or "torch.autocast" not in calls


@pytest.mark.parametrize("path", MODULES + TESTS, ids=lambda path: path.name)
def test_files_are_short(path: Path):
    limit = 80 if path.parent.name == "commands" else 250
    assert len(path.read_text().splitlines()) <= limit


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_signatures_say_what_they_take_and_dataclasses_are_frozen(path: Path):
    for node in statements(path):  # a function inside another may wrap any signature
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            assert node.args.kwarg is None, f"{name(path)}:{node.lineno} takes any keyword"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for decorator in map(ast.unparse, node.decorator_list):
                if decorator.split("(")[0].endswith("dataclass"):
                    assert "frozen=True" in decorator, f"{name(path)}:{node.lineno} is a dataclass that is not frozen"


def test_the_command_line_loads_its_commands_late():
    cli = PACKAGE / "cli.py"
    assert not [module for module in imported(cli, at_import=True) if module.startswith("nidcli.commands.")]


def test_no_command_imports_a_slow_library_before_it_runs():
    commands = [f"nidcli.commands.{path.stem}" for path in MODULES if path.parent.name == "commands"]
    code = f"import importlib, sys\nfor m in {commands!r}: importlib.import_module(m)\n"
    assert run(code + f"print(*(m for m in {SLOW} if m in sys.modules))").split() == []


def test_help_imports_no_slow_library():
    code = (
        "import sys\nfrom nidcli.cli import main\nsys.argv = ['nid', '--help']\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        f"print('loaded:', *(m for m in {SLOW} if m in sys.modules))"
    )
    assert run(code).splitlines()[-1].split() == ["loaded:"]
