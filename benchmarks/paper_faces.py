"""Faces of 128 x 128 pixels: what every method of table 1 and figure 2 learns, codes and draws.

A method is a `Way`: it draws some images after a number of steps on each. Methods that learn from a collection get the
same photos and the same seconds. Letters: B images, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.baselines import ffm, fields, meta, siren
from benchmarks.common import faces, reduced
from nidcli.codes import ImageCode, SparseCode
from nidcli.coding import SolverName, coder, refiner
from nidcli.files.images import resize
from nidcli.grid import image_coords
from nidcli.imaging import Coder, encode, render_all
from nidcli.learn import Learner
from nidcli.model import Level, Model
from nidcli.moe.learner import MoeLearner
from nidcli.moe.training import Preset as MoePreset
from nidcli.presets import load_preset
from nidcli.problem import Design
from nidcli.training import Preset

SIDE, CELLS = 128, 64
META_PIXELS = 4096  # of an image that one loss of meta-learning sees
META_RATE = 1e-3  # of Adam at test time
ADAM_SHARES = (0.02, 0.05, 0.1, 0.3, 1.0)  # rates of Adam on a code, as shares of its coefficients' size


@dataclass(frozen=True)
class Way:
    """numbers : stored for 500 images; gflop : to render one; draw(images, steps) gives the drawn images."""

    name: str
    numbers: float
    gflop: float
    draw: Callable[[Tensor, int], Tensor]
    learned: str = ""


class Photos:
    """A collection of photos in memory, as learners read them."""

    def __init__(self, photos: list[np.ndarray]) -> None:
        self.photos, self.kept = photos, dict[tuple[int, int], Tensor]()

    def __len__(self) -> int:
        return len(self.photos)

    def image(self, index: int, side: int) -> Tensor:
        """(side, side, 3)."""
        if (index, side) not in self.kept:
            self.kept[index, side] = torch.from_numpy(resize(self.photos[index], side, side)).clamp(0, 1)
        return self.kept[index, side]


def photos(train: int, folder: Path) -> Photos:
    """Faces to learn from: some of those that are not held out."""
    return Photos(faces(train, held_out=False, folder=folder))


# ---- one network an image


def _network(
    name: str, field: fields.Field, start: fields.Weights, rate: float, learned: str = "", plain: float = 0.0
) -> Way:
    """plain : rate of plain gradient steps, of which the better one is taken on every image."""
    points = image_coords(SIDE, SIDE)

    def draw(images: Tensor, steps: int) -> Tensor:
        drawn = []
        for image in images:
            target = image.reshape(-1, 3)
            loss = lambda weights, step, target=target: (field(weights, points) - target).square().mean()  # noqa: E731
            ends = [fields.fit(start, loss, rate, steps=steps)[0] if steps else start]
            if plain and steps:
                ends.append(fields.adapt(start, lambda weights, loss=loss: loss(weights, 0), plain, steps))
            with torch.no_grad():
                best = min(ends, key=lambda weights, loss=loss: float(loss(weights, 0)))
                drawn.append(field(best, points).view(SIDE, SIDE, 3))
        return torch.stack(drawn)

    return Way(name, 500.0 * fields.parameters(start), fields.flops(start, SIDE**2) / 1e9, draw, learned)


def ffm_way() -> Way:
    """Fourier features, 1e-3 as in its paper."""
    return _network("FFM", ffm.field, ffm.weights(), ffm.RATE)


def siren_way() -> Way:
    """1e-4 as in its paper is too slow for 100 steps: 1e-3 is taken."""
    return _network("SIREN", siren.field, siren.weights(), 1e-3)


def meta_way(train: Photos, seconds: float) -> Way:
    """A learned beginning for SIREN."""
    points = image_coords(SIDE, SIDE)

    def task(number: int) -> Callable[[fields.Weights], Tensor]:
        g = torch.Generator().manual_seed(number)
        index = int(torch.randint(len(train), (), generator=g))
        some = torch.randint(SIDE**2, (META_PIXELS,), generator=g)
        target = train.image(index, SIDE).reshape(-1, 3)[some]
        return lambda weights: (siren.field(weights, points[some]) - target).square().mean()

    start, steps = meta.learn(meta.weights(), task, seconds)
    return _network("Meta", siren.field, start, META_RATE, f"{steps} outer steps", meta.INNER_RATE)


# ---- dictionaries


def _drawn(model: Model, codes: list[ImageCode]) -> Tensor:
    return render_all(model, codes, SIDE, SIDE)


def _adam(steps: int) -> Coder:
    """The paper's refinement: Adam on the coefficients that a code has, with the best of some rates for every cell."""

    def code(
        level: Level, cell: int, design: Design, target_MS: Tensor, images: int, init: SparseCode | None
    ) -> SparseCode:
        assert init is not None
        columns_SJM, size = design.columns(init.index_SJ), float(init.value_SJ.square().mean().sqrt().clamp_min(1e-6))
        values, errors = [], []
        for share in ADAM_SHARES:
            value_SJ = init.value_SJ.clone().requires_grad_()
            constant_SC = init.constant_SC.clone().requires_grad_()
            adam = torch.optim.Adam([{"params": [value_SJ], "lr": share * size}, {"params": [constant_SC], "lr": 0.02}])
            with torch.enable_grad():
                for step in range(steps + 1):
                    drawn_SM = torch.bmm(value_SJ[:, None], columns_SJM)[:, 0] + constant_SC @ design.free_MC.T
                    error_S = (drawn_SM - target_MS.T).square().sum(1)
                    if step < steps:
                        adam.zero_grad()
                        error_S.sum().backward()
                        adam.step()
            values.append(SparseCode(init.index_SJ, value_SJ.detach(), constant_SC.detach()))
            errors.append(error_S.detach())
        best_S = torch.stack(errors).argmin(0)
        return SparseCode.cat(values)[best_S * len(init) + torch.arange(len(init))]  # one rate after another

    return code


def _dictionary(name: str, model: Model, k: int, steps_by: str, learned: str, first: SolverName = "gate") -> Way:
    model.eval().requires_grad_(False)
    numbers = float(sum(tensor.numel() for tensor in model.state_dict().values()))
    numbers += 500 * CELLS * (1.5 * k + 3)  # an index is half a number

    def draw(images: Tensor, steps: int) -> Tensor:
        codes = encode(model, images, coder(model, first, k))
        if steps:
            better = _adam(steps) if steps_by == "adam" else refiner("cg", steps)
            codes = encode(model, images, better, init=codes)
        return _drawn(model, codes)

    code = encode(model, torch.rand(1, SIDE, SIDE, 3), coder(model, "gate", k))
    with FlopCounterMode(display=False) as counted:
        _drawn(model, code)
    bank = model.level(-1).spec.dictionary
    fold = 2 * CELLS * k * bank.channels * bank.hidden  # an embedding bag, which the counter leaves out
    return Way(name, numbers, (counted.get_total_flops() + fold) / 1e9, draw, learned)


def moe_model(train: Photos, k: int, seconds: float) -> tuple[Model, str]:
    """The paper's NID, learned for so long."""
    preset = load_preset("moe", MoePreset)
    level = replace(preset.model.levels[0], top_k=k)
    spec = replace(preset, model=replace(preset.model, levels=(level,)), holdout=min(20, len(train) // 10))
    learner = MoeLearner(spec.learn, train, limit=seconds)
    used = None
    for progress in learner.run():
        used = getattr(progress, "used", None) or used
    return learner.model, f"{learner.place.step} batches, {100 * (used or 0):.0f} % of experts used"


def moe_way(model: Model, k: int, learned: str) -> Way:
    """Gate, then Adam on the code, as in the paper."""
    return _dictionary(f"NID, k = {k}", model, k, "adam", learned)


def ours_model(train: Photos, seconds: float) -> tuple[Model, str]:
    """`--method solve` with the preset `face`, learned for so long."""
    preset = load_preset("face", Preset)
    learner = Learner(replace(preset.learn, holdout=min(20, len(train) // 10)), train, limit=seconds)
    batches = sum(progress.stage == "atoms" for progress in learner.run())
    return learner.model, f"{batches} batches"


def ours_way(model: Model, k: int, learned: str) -> Way:
    """Gate, then conjugate gradients on its support."""
    return _dictionary(f"ours, k = {k}", model, k, "cg", learned)


def pursuit_way(model: Model, k: int, learned: str) -> Way:
    """Codes by matching pursuit, as `nid encode --solver omp`."""
    return _dictionary(f"ours, pursuit, k = {k}", model, k, "cg", learned, "omp")


def test_images(count: int, folder: Path) -> Tensor:
    """(B, 128, 128, 3) that nothing has learned from."""
    return reduced(faces(count, folder=folder)).clamp(0, 1)
