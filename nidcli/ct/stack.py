"""One file of sinograms to one file of slices, slice by slice, compared with a reference where there is one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nidcli.ct.baselines import Baseline
from nidcli.ct.loading import Scan
from nidcli.ct.reconstruct import Reconstructor, Slice
from nidcli.errors import InputError
from nidcli.files.images import as_float, read_image
from nidcli.files.inputs import Input, expand, match
from nidcli.files.sinograms import open_sinograms
from nidcli.files.slice_writing import Growing, Window, write_slices
from nidcli.metrics import psnr, ssim

MISFIT, UNFIT = 5, 6  # where they are in a slice's scores


@dataclass(frozen=True)
class Classical:
    """The classical result beside ours: means over slices; NaN without a reference."""

    kind: str
    residual: float
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Sliced:
    """Keys of an item of `ct-recon`: means over slices, cor and scale of the first; psnr NaN without a reference.

    residual : |A f - y| / |y|; cor : the bin on which the axis of rotation falls; noise : standard deviation of a ray
    that was assumed, in the sinogram's units; misfit : over the slices that the dictionary was asked of, see
    `nidcli.ct.trust`, NaN for none; unfit : slices left to total variation.
    """

    residual: float
    views: int
    slices: int
    size: int
    cor: float
    noise: float
    scale: float
    psnr: float
    ssim: float
    misfit: float
    unfit: int
    baseline: Classical | None = None


def unlike(path: Path, found: Sliced, dictionary: str) -> str:
    """The sentence for slices of another kind."""
    which = "The slice is" if found.slices == 1 else f"{found.unfit} of {found.slices} slices are"
    return (
        f"{path}: {which} unlike those of {dictionary} (misfit {found.misfit:.2f}, by held-out views; 1 is as good as "
        "without it); made by total variation alone."
    )


@dataclass(frozen=True)
class Wanted:
    """Which files a scan becomes beside its slices, and through what window they are looked at."""

    window: Window
    uncertainty: bool = False
    baseline: Baseline | None = None
    preview: bool = False

    def beside(self, path: Path) -> dict[str, Path]:
        """Names and paths of the further files."""
        suffix = ".npy" if path.suffix.lower() == ".png" else path.suffix
        found = {}
        if self.uncertainty:
            found["uncertainty"] = path.with_name(f"{path.stem}_uncertainty{suffix}")
        if self.baseline:
            found["baseline"] = path.with_name(f"{path.stem}_{self.baseline}{suffix}")
        return found


def references(inputs: Sequence[Input], named: str | None) -> dict[Path, Path]:
    """The true slices of each input, by stem; none where none are named. Raises InputError for an input without."""
    if named is None:
        return {}
    pairs = match(inputs, expand([named]))
    for pair in pairs:
        if pair.problem and not pair.input.problem:
            raise InputError(pair.problem)
    return {pair.input.path: pair.partner for pair in pairs if not pair.problem}


def slices_of(
    reconstructor: Reconstructor,
    scan: Scan,
    output: Path,
    wanted: Wanted,
    truth: Path | None,
    fingerprint: str,
    tell: Callable[[int, int], None],
) -> tuple[Sliced, Callable[[Path], None]]:
    """Reconstruct every slice of a scan; what to report, and what puts the files in place.

    tell : is told the slices done and how many there are.
    """
    count = scan.file.slices
    first = scan.sinogram(0)
    geometry = reconstructor.geometry(first, scan.angles_V)
    size = geometry.size
    known = None if truth is None else _known(scan, truth, count, size)
    key = _key(scan, reconstructor, wanted, fingerprint, geometry)
    paths = {"slices": output, **wanted.beside(output)}
    stacks = {name: Growing(path, count, size, key) for name, path in paths.items()} if scan.file.count else {}
    start = min((stack.done for stack in stacks.values()), default=0)
    for stack in stacks.values():
        stack.done = start
    scores: list[tuple[float, ...]] = []
    pictures: dict[str, np.ndarray] = {}
    for number in range(count):
        if number < start:
            tell(number + 1, count)
            continue
        sinogram_VB = first if number == 0 else scan.sinogram(number)
        found = reconstructor.slice(sinogram_VB, geometry)
        pictures = _pictures(found)
        scores.append(_scores(found, None if known is None else known[number]))
        for name, stack in stacks.items():
            stack.add(pictures[name])
        tell(number + 1, count)
    report = _report(scores, wanted, geometry.views, count, size, geometry.axis)

    def write(path: Path) -> None:
        shown = None
        for name, place in {"slices": path, **wanted.beside(path)}.items():
            if scan.file.count:
                shown = np.array(stacks[name].stack[count // 2]) if name == "slices" else shown
                stacks[name].finish(place, wanted.window)
            else:
                shown = pictures[name] if name == "slices" else shown
                write_slices(place, pictures[name], wanted.window)
        if wanted.preview and shown is not None:
            write_slices(path.with_name(f"{path.stem}_preview.png"), shown, wanted.window)

    return report, write


def _pictures(found: Slice) -> dict[str, np.ndarray]:
    named = {"slices": found.picture_YX, "uncertainty": found.deviation_YX, "baseline": found.classical_YX}
    return {name: picture.cpu().numpy() for name, picture in named.items() if picture is not None}


def _scores(found: Slice, reference_YX: np.ndarray | None) -> tuple[float, ...]:
    other = math.nan if found.residual_classical is None else found.residual_classical
    ours, theirs = (math.nan, math.nan), (math.nan, math.nan)
    if reference_YX is not None:
        ours = _compared(found.picture_YX, reference_YX)
        theirs = theirs if found.classical_YX is None else _compared(found.classical_YX, reference_YX)
    return found.residual, found.noise, found.scale, *ours, found.misfit, float(not found.fits), other, *theirs


def _report(scores: list[tuple[float, ...]], wanted: Wanted, views: int, count: int, size: int, cor: float) -> Sliced:
    means = [math.fsum(column) / len(column) for column in zip(*scores, strict=True)] if scores else [math.nan] * 10
    residual, noise, _, ours, alike, _, _, other, theirs, theirs_alike = means
    scale = scores[0][2] if scores else math.nan
    asked = [score[MISFIT] for score in scores if not math.isnan(score[MISFIT])]
    misfit, unfit = math.fsum(asked) / len(asked) if asked else math.nan, sum(score[UNFIT] > 0 for score in scores)
    classical = Classical(wanted.baseline, other, theirs, theirs_alike) if wanted.baseline else None
    return Sliced(residual, views, count, size, cor, noise, scale, ours, alike, misfit, unfit, classical)


def _compared(picture: torch.Tensor, reference_YX: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM. The peak is 1 for references whose largest value is 0.1 ... 1, otherwise that value."""
    largest = float(np.abs(reference_YX).max())
    peak = 1.0 if 0.1 < largest <= 1 or not largest else largest
    ours, truth = picture.cpu().float() / peak, torch.from_numpy(reference_YX.astype(np.float32)) / peak
    ours, truth = ours[None, :, :, None], truth[None, :, :, None]
    return float(psnr(ours, truth)[0]), float(ssim(ours, truth)[0])


def _known(scan: Scan, truth: Path, count: int, size: int) -> np.ndarray:
    """(count, size, size) true slices. PNGs are in 0 ... 1, as all images."""
    if truth.suffix.lower() in (".npy", ".npz", ".tif", ".tiff"):
        file = open_sinograms(truth)
        stack = np.stack([file.read(number) for number in range(file.slices)])
    else:
        stack = as_float(read_image(truth).pixels)[None, :, :, 0]
    if stack.shape != (count, size, size):
        raise InputError(
            f"{truth} has the shape {stack.shape}, and the slices of {scan.file.path} {(count, size, size)}; "
            "give a reference alike."
        )
    return stack


def _key(scan: Scan, reconstructor: Reconstructor, wanted: Wanted, fingerprint: str, geometry: object) -> str:
    """What a stack that grows is made of."""
    state = scan.file.path.stat()
    parts = (
        scan.file.path.name,
        state.st_size,
        state.st_mtime_ns,
        fingerprint,
        geometry,
        reconstructor.settings,
        wanted,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
