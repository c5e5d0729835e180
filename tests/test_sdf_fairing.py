"""Waves go, edges, sizes and rims stay."""

from __future__ import annotations

import numpy as np
from skimage.measure import marching_cubes

from nidcli.sdf.fairing import faired, levelled, relaxed


def drawn(field_XYZ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface of a field over [-1, 1]."""
    vertices, faces, _, _ = marching_cubes(field_XYZ.astype(np.float32), 0.0)
    return vertices.astype(np.float64) * (2 / (len(field_XYZ) - 1)) - 1, faces.astype(np.int64)


def places(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))


def sheet(side: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.reshape(-1) for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x.reshape(-1), y.reshape(-1), np.zeros(side * side)], 1), faces


def test_waves_of_a_sheet_go():
    vertices, faces = sheet(31)
    rough = vertices + np.random.default_rng(0).normal(0, 0.01, vertices.shape) * np.array([0, 0, 1])
    once = relaxed(rough, faces, 3)
    inside = np.abs(vertices[:, :2]).max(1) < 0.9
    assert once[inside, 2].std() < 0.35 * rough[inside, 2].std()
    assert levelled(once, faces)[inside, 2].std() < 0.85 * once[inside, 2].std()


def test_the_rim_of_a_sheet_only_sees_the_rim():
    vertices, faces = sheet(31)
    rim = np.abs(vertices[:, :2]).max(1) == 1
    far_from_corners = rim & (np.abs(vertices[:, :2]).min(1) < 0.7)
    assert np.allclose(relaxed(vertices, faces, 3)[far_from_corners], vertices[far_from_corners], atol=1e-12)


def test_a_ball_keeps_its_size():
    vertices, faces = drawn(np.sqrt((places(65) ** 2).sum(0)) - 0.7)
    radius = np.linalg.norm(levelled(relaxed(vertices, faces, 3), faces), axis=1)
    assert abs(radius.mean() - 0.7) < 0.003 and radius.std() < 0.002


def test_edges_of_a_box_are_rounded_by_the_lattice_but_not_by_levelling():
    vertices, faces = drawn(np.abs(places(65)).max(0) - 0.6)
    moved = np.linalg.norm(levelled(vertices, faces) - vertices, axis=1)
    assert np.quantile(moved, 0.9) < 1e-3 and moved.max() < 1 / 32


def test_no_round_changes_nothing():
    vertices, faces = drawn(np.sqrt((places(17) ** 2).sum(0)) - 0.7)
    assert np.array_equal(relaxed(vertices, faces, 0), vertices)


def test_vertices_that_no_face_uses_stay():
    vertices, faces = drawn(np.sqrt((places(17) ** 2).sum(0)) - 0.7)
    alone = np.concatenate([vertices, np.array([[3.0, 3.0, 3.0]])])
    assert np.array_equal(levelled(relaxed(alone, faces, 2), faces)[-1], alone[-1])


def test_waves_below_the_spacing_or_the_noise_go_and_a_dense_clean_mesh_stays():
    vertices, faces = drawn(np.sqrt((places(65) ** 2).sum(0)) - 0.7)
    rough = vertices * (1 + np.random.default_rng(0).normal(0, 0.01, (len(vertices), 1)))
    step = 2 / 64

    def waves(gap: float, noise: float) -> float:
        return float(np.linalg.norm(faired(rough, faces, step, gap, noise), axis=1).std())

    assert np.array_equal(faired(rough, faces, step, step, 0.0), rough)
    assert waves(0.1, 0.0) < 0.5 * waves(step, 0.0)
    assert waves(step, 0.03) < 0.5 * waves(step, 0.0)


def test_a_lattice_far_finer_than_the_cloud_is_not_faired_for_ever():
    vertices, faces = drawn(np.sqrt((places(65) ** 2).sum(0)) - 0.7)
    radius = np.linalg.norm(faired(vertices, faces, 1e-4, 0.5, 0.0), axis=1)
    assert abs(radius.mean() - 0.7) < 0.03
