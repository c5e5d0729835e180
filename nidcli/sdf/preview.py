"""A picture of a mesh beside its cloud, drawn without a screen: a z-buffer of points of the surface.

y is taken to be up, and the camera looks from the front, the right and above, in parallel projection.

Letters: N points, H rows, W columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nidcli.files.atomic import make_folder
from nidcli.files.image_writing import write_image
from nidcli.files.meshes import Mesh
from nidcli.sdf.compare import sample_surface
from nidcli.sdf.reconstruct import Surface

SIDE, OVER = 480, 2  # pixels of a picture, and points a pixel along an axis
BACK = 1.0  # white
_LIGHT = np.array([0.35, 0.75, 0.55])
_SURFACE, _INSIDE, _POINT = np.array([0.36, 0.55, 0.78]), np.array([0.80, 0.45, 0.32]), np.array([0.15, 0.15, 0.18])


def preview(mesh: Mesh, points_N3: np.ndarray, turn: float = 35.0) -> np.ndarray:
    """(H, W, 3) float32 in 0...1: the cloud left, the mesh right; the inside of a surface is drawn in another colour.

    turn : degrees by which the camera is turned from the front (+z) to the right (+x).
    """
    axes_33 = _camera(turn)
    every = np.concatenate([points_N3, mesh.vertices_V3]) if len(points_N3) else mesh.vertices_V3
    middle_3 = (every.min(0) + every.max(0)) / 2
    extent = float(np.abs((every - middle_3) @ axes_33[:2].T).max()) or 1.0
    frame = (middle_3, extent * 1.05)
    rng = np.random.default_rng(0)
    a, b, c = mesh.vertices_V3[mesh.faces_F3].transpose(1, 0, 2)
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()) / 2 / frame[1] ** 2
    count = int(np.clip(0.7 * area * (SIDE * OVER / 2) ** 2, 1000, 4e6))  # points a pixel, each nine pixels large
    surface_N3, normal_N3 = sample_surface(mesh, count, rng)
    facing_N = normal_N3 @ axes_33[2]
    light_N = np.abs(normal_N3 @ (_LIGHT / np.linalg.norm(_LIGHT)))
    colour_N3 = np.where(facing_N[:, None] > 0, _SURFACE, _INSIDE) * (0.45 + 0.65 * light_N[:, None])
    right = _drawn(surface_N3, colour_N3, axes_33, frame, dot=3)
    shown = points_N3 if len(points_N3) <= 50_000 else points_N3[rng.permutation(len(points_N3))[:50_000]]
    depth_N = (shown - middle_3) @ axes_33[2] / extent
    near_N3 = _POINT + (0.55 * (0.5 - 0.5 * depth_N.clip(-1, 1)))[:, None]
    left = _drawn(shown, near_N3, axes_33, frame, dot=2 if len(shown) > 4000 else 4)
    return np.concatenate([left, right], 1).clip(0, 1).astype(np.float32)


def write_preview(place: Path, stem: str, surface: Surface) -> None:
    """The picture of a surface beside its cloud as a PNG: the file `place`, or STEM.png in that folder."""
    path = place if place.suffix.lower() == ".png" else place / f"{stem}.png"
    make_folder(path.parent)
    write_image(path, preview(surface.mesh, surface.points_N3))


def _camera(turn: float) -> np.ndarray:
    """Rows: right, up, and towards the viewer."""
    angle = np.radians(turn)
    towards = np.array([np.sin(angle), 0.45, np.cos(angle)])
    towards /= np.linalg.norm(towards)
    right = np.cross([0.0, 1.0, 0.0], towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def _drawn(
    points_N3: np.ndarray, colour_N3: np.ndarray, axes_33: np.ndarray, frame: tuple[np.ndarray, float], dot: int
) -> np.ndarray:
    """(SIDE, SIDE, 3), the nearest point of each pixel, averaged over OVER x OVER."""
    side = SIDE * OVER
    seen = (points_N3 - frame[0]) @ axes_33.T / frame[1]
    order = np.argsort(seen[:, 2], kind="stable")  # the nearest is written last
    x = ((seen[order, 0] + 1) / 2 * (side - 1)).round().astype(np.int32)
    y = ((1 - seen[order, 1]) / 2 * (side - 1)).round().astype(np.int32)
    dy, dx = (d.reshape(-1).astype(np.int32) for d in np.indices((dot, dot)))
    pixel_NX = (y[:, None] + dy).clip(0, side - 1) * side + (x[:, None] + dx).clip(0, side - 1)
    owner = np.full(side * side, -1, np.int32)
    owner[pixel_NX.reshape(-1)] = np.repeat(np.arange(len(order), dtype=np.int32), dot * dot)
    canvas = np.where(owner[:, None] >= 0, colour_N3[order[owner]], BACK)
    return canvas.reshape(SIDE, OVER, SIDE, OVER, 3).mean((1, 3))
