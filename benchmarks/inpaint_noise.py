"""Damage that nobody marks: grains, stripes, text, scratches and none, and the paper's patch beside a SIREN.

    python -m benchmarks.inpaint_noise [--dict face] [--images 40] [--siren]

128 x 128 held-out faces. "given" is the same photo with its mask given; false alarms are pixels of clean photos that
were replaced. `--siren`: a 48 x 48 patch on 178 x 178, ours and a SIREN fitted with the l1 loss, side by side in
siren.png (Sitzmann et al. 2020; the paper's figure 4).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch

from benchmarks import restoring as r
from benchmarks.common import faces, table
from nidcli.artifacts import load_model
from nidcli.dictionary import DictionarySpec, Trunk
from nidcli.files.images import resize, write_image
from nidcli.grid import image_coords
from nidcli.restore.photo import restore

Damage = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def grains(share: float) -> Damage:
    def make(photo: np.ndarray, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        hole = chance.random(photo.shape[:2]) < share
        salt = np.where(chance.random(photo.shape[:2]) < 0.5, np.uint8(0), np.uint8(255))
        return np.where(hole[..., None], salt[..., None], photo), hole

    return make


def stripes(photo: np.ndarray, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hole, painted = np.zeros(photo.shape[:2], bool), photo.copy()
    for _ in range(6):
        left, wide = chance.integers(0, 124), chance.integers(1, 5)
        painted[:, left : left + wide], hole[:, left : left + wide] = chance.integers(0, 256, 3), True
    return painted, hole


def drawn(draw: Callable[[np.ndarray, tuple[int, int, int], np.random.Generator], object]) -> Damage:
    def make(photo: np.ndarray, chance: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        painted, mask, seed = photo.copy(), np.zeros_like(photo), int(chance.integers(1 << 30))
        red, green, blue = (int(c) for c in chance.integers(0, 256, 3))
        draw(painted, (red, green, blue), np.random.default_rng(seed))
        draw(mask, (255, 255, 255), np.random.default_rng(seed))
        return painted, mask[:, :, 0] > 0

    return make


def text(canvas: np.ndarray, colour: tuple[int, int, int], chance: np.random.Generator) -> None:
    for line in range(4):
        place = (int(chance.integers(0, 20)), 20 + 30 * line)
        cv2.putText(canvas, "Damaged photo", place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_8)


def scratches(canvas: np.ndarray, colour: tuple[int, int, int], chance: np.random.Generator) -> None:
    for _ in range(6):
        (ax, ay), (bx, by) = chance.integers(0, 128, (2, 2)).tolist()
        cv2.line(canvas, (ax, ay), (bx, by), colour, 1)


def siren(photo: np.ndarray, steps: int = 500) -> np.ndarray:
    """A SIREN of three hidden layers of 256, fitted to every pixel with the l1 loss."""
    torch.manual_seed(0)
    trunk = Trunk(DictionarySpec(embedding="siren", frequencies=256, hidden=256, layers=3, dims=2))
    head = torch.nn.Linear(256, 3)
    coords, target = image_coords(*photo.shape[1::-1]), torch.from_numpy(photo).float().view(-1, 3) / 255
    descent = torch.optim.Adam([*trunk.parameters(), *head.parameters()], lr=1e-4)
    for _ in range(steps):
        loss = (head(torch.sin(30 * trunk(coords))) - target).abs().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
    with torch.no_grad():
        drawn = head(torch.sin(30 * trunk(coords))).clamp(0, 1)
    return np.rint(255 * drawn.view(photo.shape).numpy()).astype(np.uint8)


def side_by_side(dictionary: str) -> None:
    truth = np.rint(255 * np.clip(resize(faces(3)[1], 178, 178), 0, 1)).astype(np.uint8)
    painted, hole = truth.copy(), np.zeros((178, 178), bool)
    painted[70:118, 80:128], hole[70:118, 80:128] = (230, 60, 160), True
    ours, theirs = restore(load_model(dictionary).model, painted, None), siren(painted)
    print(f"48 x 48 patch: ours {r.decibels(ours.pixels, truth, hole):.2f} dB inside, ", end="")
    print(f"IoU {r.overlap(ours.damaged_HW, hole):.3f}; SIREN, l1 {r.decibels(theirs, truth, hole):.2f} dB")
    write_image(Path("siren.png"), np.concatenate([painted, ours.pixels, theirs, truth], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dict", default="face")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--siren", action="store_true")
    given = parser.parse_args()
    model = load_model(given.dict).model
    kinds: dict[str, Damage] = {f"salt and pepper {share:.0%}": grains(share) for share in (0.05, 0.1, 0.2, 0.3, 0.4)}
    kinds |= {"stripes": stripes, "text": drawn(text), "scratches": drawn(scratches)}
    rows = [("damage", "ours", "given", "IoU", "median filter", "target")]
    images = r.photos(given.images)
    for name, damage in kinds.items():
        ours, told, found, peer = [], [], [], []
        for i, truth in enumerate(images):
            painted, hole = damage(truth, np.random.default_rng(i))
            result = restore(model, painted, None)
            ours.append(r.decibels(result.pixels, truth))
            told.append(r.decibels(restore(model, painted, hole).pixels, truth))
            found.append(r.overlap(result.damaged_HW, hole))
            peer.append(max(r.decibels(cv2.medianBlur(painted, size), truth) for size in (3, 5)))
        target = "30" if name.endswith("20%") else ""
        rows.append((name, *(f"{fmean(v):.2f}" for v in (ours, told, found, peer)), target))
    table(rows)
    alarms = [restore(model, truth, None).damaged_fraction for truth in images]
    print(f"false alarms on clean photos: {fmean(alarms):.3%} of pixels (target 0.5 %)")
    if given.siren:
        side_by_side(given.dict)


if __name__ == "__main__":
    main()
