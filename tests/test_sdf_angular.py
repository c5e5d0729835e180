"""Where a cloud is angular: creases are, faces and smooth surfaces are not."""

from __future__ import annotations

import numpy as np
from solid_cases import box_cloud, normals_of

from nidcli.sdf.angular import angular


def test_edges_and_corners_are_angular_and_faces_are_not():
    cloud = box_cloud(3000)
    found = angular(cloud.points_N3, normals_of(cloud))
    off = np.sort(np.array((0.9, 0.5, 0.3)) - np.abs(cloud.points_N3), 1)[:, 1]  # from the nearest edge
    assert found[off < 0.02].mean() > 0.9 and found[off > 0.2].mean() < 0.02
