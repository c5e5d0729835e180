"""Measurements: one operator a file."""

from nidcli.operators.base import Operator
from nidcli.operators.sample import Sample

__all__ = ["Operator", "Sample"]
