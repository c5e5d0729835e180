"""The options of `nid ct-recon` that say what the rays are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from nidcli.ct.loading import Angles

_ANGLES = "N|A:B:STEP|FILE"
_Layout = Literal["angles-bins", "bins-angles"]


def _rays(flag: str, metavar: str | None, text: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, rich_help_panel="Rays", help=text)
    return found


@dataclass(frozen=True)
class RayOptions:
    angles: Annotated[str | None, _rays("--angles", _ANGLES, "Degrees, end excluded; N over half a turn.")] = None
    layout: Annotated[_Layout | None, _rays("--layout", None, "Axes of a sinogram; the convention's.")] = None
    convention: Annotated[
        Literal["nid", "skimage"], _rays("--convention", None, "skimage: what its radon returns.")
    ] = "nid"
    no_circle: Annotated[bool, _rays("--no-circle", None, "Of skimage's radon with circle=False.")] = False
    cor: Annotated[str | None, _rays("--cor", "auto|PX", "Bin of the axis of rotation; the middle one.")] = None
    noise: Annotated[float | None, _rays("--noise", "SIGMA", "Of a ray; found from the rays themselves.")] = None
    fan: Annotated[
        float | None,
        _rays("--fan", "DISTANCE", "Fan beam: pixels from source to axis; flat detector, bins at the axis."),
    ] = None
    bin_rays: Annotated[int, _rays("--bin-rays", "N", "Rays over the width of a bin, its integral; 1: its centre.")] = 1
    field_of_view: Annotated[bool, _rays("--field-of-view", None, "Zero where some view does not look.")] = False
    scale: Annotated[str, _rays("--scale", "auto|X", "Attenuation that the dictionary calls 1.")] = "auto"

    def degrees(self) -> Angles:
        """How angles are told."""
        from nidcli.ct.loading import Angles

        return Angles(self.angles, 180.0 if self.fan is None else 360.0)

    @property
    def axes(self) -> _Layout:
        """The layout: as asked for, or the convention's."""
        return self.layout or ("bins-angles" if self.convention == "skimage" else "angles-bins")
