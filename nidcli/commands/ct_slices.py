"""The options of `nid ct-recon` that say what is wanted of the rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nidcli.errors import UsageError

if TYPE_CHECKING:
    from nidcli.commands.ct_options import RayOptions
    from nidcli.ct.reconstruct import Settings
    from nidcli.ct.stack import Wanted


def _slices(flag: str, metavar: str | None, text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, rich_help_panel="Slices", help=text)
    return found


@dataclass(frozen=True)
class SliceOptions:
    size: Annotated[int | None, _slices("--size", "N", "Pixels a side; as many as bins.")] = None
    pixel_size: Annotated[float | None, _slices("--pixel-size", "MM", "Of the slice: attenuation per mm.")] = None
    signed: Annotated[bool, _slices("--signed", None, "Allow values below zero.")] = False
    uncertainty: Annotated[bool, _slices("--uncertainty", None, "Also STEM_uncertainty: deviations.")] = False
    baseline: Annotated[Literal["fbp", "sart", "tv"] | None, _slices("--baseline", None, "Also STEM_fbp.")] = None
    reference: Annotated[str | None, _slices("--reference", "PATH", "True slices, matched by stem: PSNR, SSIM.")] = None
    preview: Annotated[bool, _slices("--preview", None, "Also STEM_preview.png, of a stack the middle slice.")] = False
    window: Annotated[float | None, _slices("--window", "W", "Of PNGs: white minus black.")] = None
    level: Annotated[float | None, _slices("--level", "L", "Of PNGs: the middle grey.")] = None

    def settings(self, rays: RayOptions) -> Settings:
        """Everything that a reconstruction is told. Raises UsageError for values that make no sense."""
        from nidcli.ct.reconstruct import Settings

        for flag, value in (("--pixel-size", self.pixel_size), ("--window", self.window), ("--fan", rays.fan)):
            if value is not None and not value > 0:
                raise UsageError(f"{flag} {value:g} is not above zero; give a positive number.")
        if rays.noise is not None and not rays.noise >= 0:
            raise UsageError(f"--noise {rays.noise:g} is no standard deviation; give 0 or more.")
        if not 1 <= rays.bin_rays <= 16 or (self.size is not None and not 8 <= self.size <= 8192):
            raise UsageError("--bin-rays lies between 1 and 16, and --size between 8 and 8192; give another number.")
        if rays.convention == "skimage" and (rays.fan or rays.cor or rays.bin_rays > 1):
            raise UsageError("--convention skimage fixes the rays; leave out --fan, --cor and --bin-rays.")
        if rays.no_circle and rays.convention != "skimage":
            raise UsageError("--no-circle belongs to --convention skimage; give both.")
        if rays.fan is not None and rays.cor == "auto":
            raise UsageError("--cor auto knows parallel beams only; give the bin on which the axis falls.")
        return Settings(
            convention=rays.convention,
            circle=not rays.no_circle,
            size=self.size,
            cor="auto" if rays.cor == "auto" else _number("--cor", rays.cor),
            pixel_mm=self.pixel_size,
            noise=rays.noise,
            fan=rays.fan,
            wide=rays.bin_rays,
            field_of_view=rays.field_of_view,
            scale=None if rays.scale == "auto" else _number("--scale", rays.scale),
            non_negative=not self.signed,
            uncertainty=self.uncertainty,
            baseline=self.baseline,
        )

    def wanted(self) -> Wanted:
        """Which files are to be written."""
        from nidcli.ct.stack import Wanted
        from nidcli.files.slice_writing import Window

        return Wanted(Window(self.window, self.level), self.uncertainty, self.baseline, self.preview)


def _number(flag: str, text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(f"{flag} {text} is neither auto nor a number.") from None
