"""Learning speed: time to 40 dB at k = 32, and against scikit-learn's MiniBatchDictionaryLearning on the same patches.

    python -m benchmarks.photo_learning [--faces FOLDER] [--experts 4096] [--atoms 512] [--seconds 120]

First the preset `face` is learned until its held-out PSNR at k = 32 passes 40 dB. Then both learn `--atoms` atoms from
the same 16 x 16 cells: scikit-learn for `--seconds`, ours until it is as good. One coder, orthogonal matching pursuit
with k = 16, judges both dictionaries on the same held-out cells, so that only the atoms differ.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from sklearn.decomposition import MiniBatchDictionaryLearning
from torch import Tensor

from benchmarks.common import FACES, cells, faces, reduced, table
from nidcli.files.collections import open_collection
from nidcli.learn import Learner
from nidcli.online import OnlineDictionary, Pace
from nidcli.presets import load_preset
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Omp
from nidcli.training import Preset


def judged(atoms_KM: Tensor, held_BSM: Tensor, k: int) -> float:
    """Mean PSNR over images of their cells coded with k of these atoms."""
    unit_KM = atoms_KM / atoms_KM.norm(dim=1, keepdim=True).clamp_min(1e-9)
    target_MS = held_BSM.flatten(0, 1).T
    design = DenseDesign(unit_KM.T, unit_KM.new_zeros(unit_KM.shape[1], 0))
    code = Omp(k, per_round=1, shortlist=1).solve(Problem(design, target_MS)).code
    error = (target_MS - design.forward(code.dense(len(unit_KM)))).T.reshape(held_BSM.shape)
    return float((-10 * error.square().flatten(1).mean(1).log10()).mean())


def to_forty(folder: Path, experts: int) -> float:
    """Seconds until the held-out PSNR at k = 32 passes 40 dB, reading of the photos included."""
    start = time.perf_counter()
    spec = load_preset("face", Preset)
    level = spec.model.levels[0]
    level = replace(level, dictionary=replace(level.dictionary, experts=experts))
    learner = Learner(replace(spec, model=replace(spec.model, levels=(level,))), open_collection([str(folder)]))
    for progress in learner.run():
        if progress.psnr is not None and progress.psnr >= 40:
            return time.perf_counter() - start
    raise SystemExit("The run ended below 40 dB.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=FACES)
    parser.add_argument("--experts", type=int, default=4096)
    parser.add_argument("--atoms", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    forty = to_forty(given.faces, given.experts)
    train_SM = cells(reduced(faces(600, held_out=False, folder=given.faces))).flatten(0, 1).flatten(1)
    held_BSM = cells(reduced(faces(20, folder=given.faces))).flatten(2)
    order = torch.randperm(len(train_SM), generator=torch.Generator().manual_seed(0))
    first_KM = train_SM[order[: given.atoms]]
    first_KM = first_KM / first_KM.norm(dim=1, keepdim=True).clamp_min(1e-9)

    peer = MiniBatchDictionaryLearning(
        given.atoms,
        alpha=0.1,
        batch_size=512,
        fit_algorithm="lars",
        transform_algorithm="omp",
        dict_init=first_KM.numpy(),
    )
    spent, step = 0.0, 0
    while spent < given.seconds:
        batch = train_SM[order[torch.arange(step * 512, (step + 1) * 512) % len(order)]].numpy()
        start = time.perf_counter()
        peer.partial_fit(batch)
        spent, step = spent + time.perf_counter() - start, step + 1
    theirs = judged(torch.from_numpy(peer.components_).float(), held_BSM, 16)

    online, ours, seconds = OnlineDictionary(first_KM.clone()), 0.0, 0.0
    while ours < theirs and seconds < given.seconds:
        start = time.perf_counter()
        batch = train_SM[order[torch.arange(online.batches * 4096, (online.batches + 1) * 4096) % len(order)]]
        online.learn(batch, Pace(8, 0.98, True), torch.Generator().manual_seed(online.batches))
        seconds += time.perf_counter() - start
        ours = judged(online.atoms_KR, held_BSM, 16)
    rows = [("what", "ours", "scikit-learn", "ratio", "target")]
    rows.append((f"{given.experts} experts to 40 dB at k = 32", f"{forty:.0f} s", "", "", "120 s"))
    what = f"{given.atoms} atoms to {theirs:.2f} dB at k = 16"
    rows.append((what, f"{seconds:.1f} s ({ours:.2f} dB)", f"{spent:.0f} s", f"{spent / seconds:.0f} x", "5 x"))
    table(rows)


if __name__ == "__main__":
    main()
