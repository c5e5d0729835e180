"""`.nid` files: a model and where it comes from. Codes in `.nidc` files are in `codefile`.

Tensors are the model's state dict, statistics of the codes included. The document holds the spec that rebuilds the
untrained model, and `Metadata`. It holds no clock times and no paths, so two runs with one seed give identical bytes.
The fingerprint, to which codes refer, is the sha256 of the spec and
of the tensors' sum: the same tensors under another spec draw another field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nidcli.codefile import CodeFile, DictionaryRef, Source, load_codes, save_codes
from nidcli.container import read_sealed, write_sealed
from nidcli.errors import ArtifactError, NidError, OutputError, UsageError
from nidcli.metadata import Metadata, Metric, Provenance, without_paths
from nidcli.structure import from_plain, nearest, to_plain

if TYPE_CHECKING:
    from nidcli.model import Model

__all__ = [
    "Artifact",
    "CodeFile",
    "DictionaryRef",
    "Metadata",
    "Metric",
    "Provenance",
    "Source",
    "bundled",
    "bundled_paths",
    "check_dictionary",
    "dictionary_path",
    "load_codes",
    "load_model",
    "save_codes",
    "save_model",
    "without_paths",
]


@dataclass(frozen=True)
class Artifact:
    """A loaded `.nid`. size : bytes on disk."""

    model: Model
    meta: Metadata
    fingerprint: str
    name: str
    size: int

    @property
    def reference(self) -> DictionaryRef:
        """What a code file records of this dictionary."""
        experts = tuple(level.dictionary.experts for level in self.model.spec.levels)
        return DictionaryRef(self.name, self.fingerprint, experts)


def save_model(
    path: Path | str,
    model: Model,
    meta: Metadata,
    *,
    half: bool = False,
    keep_float32: Collection[str] = (),
) -> str:
    """Write a `.nid` and return its fingerprint.

    half : store float tensors as float16, except those of the state dict named in `keep_float32` and those whose
    values do not fit. Raises OutputError.
    """
    state = model.state_dict()
    tensors = {name: _stored(tensor, half and name not in keep_float32) for name, tensor in state.items()}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise OutputError(f"{path} was not written: tensor {name!r} has values that are not finite; learn again.")
    spec = to_plain(model.spec)
    document = {"kind": model.spec.kind, "spec": spec, "metadata": to_plain(meta)}
    return _fingerprint(spec, write_sealed(path, "dictionary", document, tensors))


def load_model(name_or_path: Path | str, device: torch.device | str = "cpu") -> Artifact:
    """Read a dictionary by its NAME or FILE, every byte, tensor name, shape and type checked.

    The model is in evaluation mode on `device`, in the types of its spec, without gradients; the global random state
    is left alone. Raises UsageError for an unknown name or a missing file, ArtifactError for a damaged, foreign or
    newer one.
    """
    from nidcli.model import Model, ModelSpec

    path = dictionary_path(name_or_path)
    sealed = read_sealed(path, "dictionary")
    spec = from_plain(ModelSpec, sealed.document.get("spec"), str(path), ArtifactError)
    facts = sealed.document.get("metadata")
    meta = from_plain(Metadata, facts, str(path), ArtifactError, ignore_unknown=sealed.newer)
    try:
        with torch.random.fork_rng(devices=[]):
            model = Model(spec)
    except (ArithmeticError, MemoryError, NidError, RuntimeError, TypeError, ValueError) as wrong:
        raise ArtifactError(f"{path} describes a model that cannot be built ({wrong}); learn it again.") from None
    stored = {name: torch.from_numpy(array) for name, array in sealed.tensors.items()}
    _check(path, stored, model.state_dict())
    model.load_state_dict(stored)
    model.to(device).eval().requires_grad_(False)
    return Artifact(model, meta, _fingerprint(sealed.document["spec"], sealed.sha256), path.stem, sealed.size)


def check_dictionary(file: CodeFile, artifact: Artifact) -> None:
    """Raises ArtifactError, naming both fingerprints, unless the codes were made with that dictionary."""
    theirs, ours = file.dictionary, artifact.reference
    if theirs.fingerprint != ours.fingerprint:
        raise ArtifactError(
            f"{file.path} was made with dictionary {theirs.name!r} ({theirs.fingerprint[:12]}), not with "
            f"{ours.name!r} ({ours.fingerprint[:12]}); give the right one with --dict, or encode again."
        )
    if theirs.experts != ours.experts:
        raise ArtifactError(f"{file.path} is inconsistent: its levels are not those of {ours.name!r}; encode again.")


def bundled() -> tuple[str, ...]:
    """Names of the dictionaries that the package brings."""
    return tuple(sorted(path.stem for path in _folder().glob("*.nid")))


def bundled_paths(arguments: Sequence[str]) -> list[str]:
    """The arguments, with names of bundled dictionaries made paths, unless a file of that name is there."""
    names = {name for name in bundled() if not Path(name).exists()}
    return [str(dictionary_path(argument)) if argument in names else argument for argument in arguments]


def dictionary_path(name_or_path: Path | str) -> Path:
    """The file of a dictionary. What ends in `.nid`, or is a file, is a FILE; the rest is a bundled NAME.

    Raises UsageError if there is none.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if path.is_file():
        return path
    if path.suffix == ".nid" or path.name != name:
        raise UsageError(f"dictionary file {name} does not exist; give a .nid file or one of {_list(bundled())}.")
    if name not in bundled():
        hint = nearest(name, bundled())
        raise UsageError(f"nidcli brings no dictionary {name!r}{hint} (it brings {_list(bundled())}).")
    return _folder() / f"{name}.nid"


def _folder() -> Path:
    return Path(str(files("nidcli"))) / "dictionaries"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _fingerprint(spec: object, sha256: str) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{text}\n{sha256}".encode()).hexdigest()


def _stored(tensor: torch.Tensor, half: bool) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().cpu().contiguous()
    if half and tensor.is_floating_point():
        halved = tensor.half()
        if halved.isfinite().all():
            tensor = halved
    array: np.ndarray[Any, Any] = tensor.numpy()
    return array


def _check(path: Path, stored: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Every name, shape and type that the spec demands, and no other; float16 may stand for a wider float."""
    for name in sorted(expected.keys() ^ stored.keys()):
        verb = "lacks" if name in expected else "has an unknown"
        raise ArtifactError(f"{path} {verb} tensor {name!r}; it does not fit its own spec, learn it again.")
    for name, tensor in stored.items():
        want = expected[name]
        halved = tensor.dtype == torch.float16 and want.is_floating_point()
        if tensor.shape != want.shape or not (tensor.dtype == want.dtype or halved):
            raise ArtifactError(
                f"{path}: tensor {name!r} is {_form(tensor)}, its spec asks for {_form(want)}; learn it again."
            )


def _form(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
