"""Measurements: one operator a file."""

from nidcli.operators.area import Area
from nidcli.operators.base import Operator
from nidcli.operators.blur import Blur
from nidcli.operators.hermite import Hermite
from nidcli.operators.radon import PixelRadon, Radon
from nidcli.operators.sample import Sample

__all__ = ["Area", "Blur", "Hermite", "Operator", "PixelRadon", "Radon", "Sample"]
