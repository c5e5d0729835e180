"""Holes in meshes: those that a cloud does not explain are closed, and no others."""

from __future__ import annotations

import numpy as np
from solid_cases import box_mesh

from nidcli.sdf.caps import capped, rims
from nidcli.sdf.topology import is_closed


def test_a_small_hole_is_closed_outwards_and_a_wide_one_stays():
    box = box_mesh()
    broken = box.faces_F3[1:]  # without half of a side
    vertices, faces, count = capped(box.vertices_V3, broken, box.vertices_V3, 0.8)
    assert count == 1 and is_closed(faces) and len(vertices) == 9
    a, b, c = vertices[faces].transpose(1, 0, 2)
    assert np.einsum("fd,fd->", a, np.cross(b, c)) / 6 == np.float64(1.0)
    assert capped(box.vertices_V3, broken, box.vertices_V3, 0.3)[2] == 0
    assert capped(box.vertices_V3, box.faces_F3, box.vertices_V3, 0.8)[2] == 0


def test_a_sheet_is_not_doubled():
    axis = np.linspace(-1, 1, 9)
    vertices = np.array([[x, y, 0.0] for x in axis for y in axis])
    corner = np.array([[9 * i + j for j in range(8)] for i in range(8)]).reshape(-1, 1)
    faces = np.concatenate([corner + np.array([0, 9, 10]), corner + np.array([0, 10, 1])])
    assert [len(rim) for rim in rims(faces)] == [32]
    assert capped(vertices, faces, vertices, 0.3)[2] == 0


def test_rims_that_meet_in_a_vertex_are_parted():
    faces = np.array([[0, 1, 2], [0, 3, 4]])
    found = sorted(sorted(rim.tolist()) for rim in rims(faces))
    assert found == [[0, 1, 2], [0, 3, 4]]
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [-1, 0, 0], [-1, -1, 0.0]])
    assert is_closed(capped(vertices, faces, vertices, 5.0)[1])
