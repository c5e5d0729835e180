"""Measurements: one operator a file."""

from nidcli.operators.base import Operator
from nidcli.operators.radon import PixelRadon, Radon
from nidcli.operators.sample import Sample

__all__ = ["Operator", "PixelRadon", "Radon", "Sample"]
