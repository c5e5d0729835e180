"""Measurements: one operator a file."""

from nidcli.operators.base import Operator
from nidcli.operators.hermite import Hermite
from nidcli.operators.sample import Sample

__all__ = ["Hermite", "Operator", "Sample"]
