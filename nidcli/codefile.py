"""`.nidc` files: the code of one image, and the dictionary that it belongs to.

Only occupied slots are stored, cell after cell. Of level i, with S cells and n occupied slots in all:

    level{i}.index     (n,) uint16, or uint32 where the level has more than 65,536 experts
    level{i}.value     (n,) float16 or float32, never zero
    level{i}.count     (S,) uint32, occupied slots of each cell; they add up to n
    level{i}.constant  (S, C) float32
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nidcli.codes import ImageCode, LevelCode, SparseCode
from nidcli.container import Sealed, read_sealed, write_sealed
from nidcli.errors import ArtifactError, OutputError
from nidcli.structure import from_plain, to_plain


@dataclass(frozen=True)
class DictionaryRef:
    """Which dictionary a code belongs to: its name, its fingerprint (sha256, hex), and the experts of each level."""

    name: str
    fingerprint: str
    experts: tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """Facts of the image that a code was made from: bits a channel, and channels without alpha."""

    bit_depth: int = 8
    channels: int = 3


@dataclass(frozen=True)
class CodeFile:
    """A loaded `.nidc`. size : bytes on disk."""

    path: Path
    code: ImageCode
    dictionary: DictionaryRef
    source: Source
    size: int


@dataclass(frozen=True)
class _Layout:
    """The document of a `.nidc`, beside the keys of every sealed file."""

    width: int
    height: int
    pitch: int
    cells: tuple[tuple[int, int], ...]
    dictionary: DictionaryRef
    source: Source

    def __post_init__(self) -> None:
        sides = [self.width, self.height, self.pitch, *(n for cells in self.cells for n in cells)]
        if min(sides) < 1 or len(self.cells) != len(self.dictionary.experts):
            raise ValueError("sizes, cells and levels do not fit each other")


def save_codes(
    path: Path | str, code: ImageCode, dictionary: DictionaryRef, source: Source, *, half: bool = True
) -> None:
    """Write the code of one image.

    half : store coefficients as float16; a level whose coefficients do not fit keeps float32. Empty slots (value 0)
    and the order of cells are as in `code`; a coefficient that float16 rounds to zero is dropped.
    Raises OutputError where the file cannot be written or a coefficient is not finite, ValueError for a code that does
    not fit its own cells or the dictionary.
    """
    cells = tuple(level.cells for level in code.levels)
    layout = _Layout(code.width, code.height, code.pitch, cells, dictionary, source)
    tensors: dict[str, np.ndarray] = {}
    for i, (level, experts) in enumerate(zip(code.levels, dictionary.experts, strict=True)):
        packed = _packed(level, experts, half)
        if not (np.isfinite(packed["value"]).all() and np.isfinite(packed["constant"]).all()):
            raise OutputError(f"{path} was not written: its code has coefficients that are not finite; encode again.")
        tensors |= {f"level{i}.{name}": array for name, array in packed.items()}
    write_sealed(path, "codes", to_plain(layout), tensors)


def load_codes(path: Path | str) -> CodeFile:
    """Read a `.nidc` and check that it is whole and consistent; the tensors are on the CPU, values in float32.

    Raises InputError where there is no readable file, ArtifactError where it is damaged, foreign or newer.
    """
    sealed = read_sealed(path, "codes")
    own = {key: value for key, value in sealed.document.items() if key in _Layout.__dataclass_fields__}
    layout = from_plain(_Layout, own, str(path), ArtifactError, ignore_unknown=sealed.newer)
    names = {f"level{i}.{n}" for i in range(len(layout.cells)) for n in ("index", "value", "count", "constant")}
    if sealed.tensors.keys() != names:
        raise ArtifactError(f"{path} has other tensors than a code of {len(layout.cells)} levels; encode again.")
    levels = tuple(_unpacked(path, sealed, layout, i) for i in range(len(layout.cells)))
    code = ImageCode(layout.width, layout.height, layout.pitch, levels)
    return CodeFile(Path(path), code, layout.dictionary, layout.source, sealed.size)


def _packed(level: LevelCode, experts: int, half: bool) -> dict[str, np.ndarray]:
    index_SJ = level.code.index_SJ.detach().cpu().numpy()
    value_SJ = level.code.value_SJ.detach().cpu().numpy().astype(np.float32, copy=False)
    constant_SC = level.code.constant_SC.detach().cpu().numpy().astype(np.float32, copy=False)
    if len(value_SJ) != math.prod(level.cells):
        raise ValueError(f"{len(value_SJ)} signals do not fill {level.cells} cells")
    if half and abs(value_SJ).max(initial=0) <= np.finfo(np.float16).max:
        value_SJ = value_SJ.astype(np.float16)
    occupied_SJ = value_SJ != 0
    index = index_SJ[occupied_SJ]
    if index.size and not 0 <= index.min() <= index.max() < experts:
        raise ValueError(f"the code names experts beyond the {experts} of its level")
    return {
        "index": index.astype(np.uint16 if experts <= 65536 else np.uint32),
        "value": value_SJ[occupied_SJ],
        "count": occupied_SJ.sum(1, dtype=np.uint32),
        "constant": np.ascontiguousarray(constant_SC),
    }


def _unpacked(path: Path | str, sealed: Sealed, layout: _Layout, i: int) -> LevelCode:
    def bad(reason: str) -> ArtifactError:
        return ArtifactError(f"{path} is inconsistent in level {i}: {reason}; encode again.")

    index, value, count, constant_SC = (
        sealed.tensors[f"level{i}.{name}"] for name in ("index", "value", "count", "constant")
    )
    cells, experts = layout.cells[i], layout.dictionary.experts[i]
    signals = math.prod(cells)
    if index.dtype not in (np.uint16, np.uint32) or value.dtype not in (np.float16, np.float32):
        raise bad("indices or values are of another type")
    if count.dtype != np.uint32 or constant_SC.dtype != np.float32 or constant_SC.ndim != 2:
        raise bad("counts or constants are of another type")
    if count.shape != (signals,) or len(constant_SC) != signals:
        raise bad(f"there are not as many signals as its {cells[0]} x {cells[1]} cells")
    total = int(count.sum(dtype=np.uint64))
    if index.shape != (total,) or value.shape != (total,):
        raise bad("the counts do not add up to its coefficients")
    if total and int(index.max()) >= experts:
        raise bad(f"it names an expert beyond the {experts} of the dictionary")
    if not (np.isfinite(value).all() and value.all() and np.isfinite(constant_SC).all()):
        raise bad("a coefficient is not a finite number other than zero")
    slots = max(int(count.max(initial=0)), 1)  # an empty code keeps one empty slot, so that no axis has length 0
    occupied_SJ = np.arange(slots) < count[:, None]
    index_SJ = np.zeros((signals, slots), np.int64)
    value_SJ = np.zeros((signals, slots), np.float32)
    index_SJ[occupied_SJ] = index
    value_SJ[occupied_SJ] = value
    code = SparseCode(torch.from_numpy(index_SJ), torch.from_numpy(value_SJ), torch.from_numpy(constant_SC))
    return LevelCode(cells, code)
