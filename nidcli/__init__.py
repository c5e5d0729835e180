"""nid: neural implicit dictionaries, learned once and solved for at once."""

__version__ = "0.1.0"
