"""A background as a file: the same from `decompose-video --save-dict` and from `learn-dict --kind video`."""

from __future__ import annotations

from pathlib import Path

from nidcli.artifacts import Metadata, save_model
from nidcli.model import Model


def save_background(path: Path, model: Model, meta: Metadata) -> None:
    """Half precision, which moves a picture in 0 ... 1 by a sixteenth of a grey level at the most."""
    save_model(path, model, meta, half=True)
