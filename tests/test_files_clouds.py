"""Clouds and meshes from and to files: every format, and what a file may do wrong in one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from solid_cases import box_mesh

from nidcli.errors import InputError, UsageError
from nidcli.files.clouds import read_cloud
from nidcli.files.meshes import Mesh, read_mesh, write_mesh

POINTS = np.array([[500000000.123, 2, 3], [4, 5, 6.5], [-7, 8e-3, 9]])
NORMALS = np.array([[1, 0, 0], [0, 0.6, 0.8], [0, 0, -1.0]])


def rows(columns: np.ndarray) -> str:
    return "\n".join(" ".join(map(repr, map(float, row))) for row in columns) + "\n"


def ply(form: str, kind: str = "double") -> bytes:
    head = ["ply", f"format {form} 1.0", "comment made by hand", "element vertex 3"]
    head += [f"property {kind} {name}" for name in ("x", "y", "z", "nx", "ny", "nz")]
    head += ["property uchar red", "element face 0", "property list uchar int vertex_indices", "end_header\n"]
    table = np.concatenate([POINTS, NORMALS], 1)
    if form == "ascii":
        return ("\n".join(head) + "\n".join(rows(row[None])[:-1] + " 255" for row in table) + "\n").encode()
    order = "<" if form == "binary_little_endian" else ">"
    return "\n".join(head).encode() + b"".join(struct.pack(f"{order}6dB", *row, 255) for row in table)


def pcd(form: str) -> bytes:
    head = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb normal_x normal_y normal_z\nSIZE 8 8 8 4 4 4 4\n"
    head += f"TYPE F F F U F F F\nCOUNT 1 1 1 1 1 1 1\nWIDTH 3\nHEIGHT 1\nPOINTS 3\nDATA {form}\n"
    if form == "ascii":
        return (head + rows(np.concatenate([POINTS, np.zeros((3, 1)), NORMALS], 1))).encode()
    if form == "binary":
        packed = [struct.pack("<3dI3f", *p, 7, *n) for p, n in zip(POINTS, NORMALS, strict=True)]
        return head.encode() + b"".join(packed)
    columns = POINTS.T.astype("<f8").tobytes() + np.full(3, 7, "<u4").tobytes() + NORMALS.T.astype("<f4").tobytes()
    packed_bytes = b"".join(bytes([len(columns[i : i + 32]) - 1]) + columns[i : i + 32] for i in range(0, 120, 32))
    return head.encode() + struct.pack("<II", len(packed_bytes), len(columns)) + packed_bytes


def files(folder: Path) -> dict[str, Path]:
    obj = "".join(f"v {rows(p[None])}" for p in POINTS) + "".join(f"vn {rows(n[None])}" for n in NORMALS)
    contents: dict[str, bytes] = {
        "ascii.ply": ply("ascii"),
        "little.ply": ply("binary_little_endian"),
        "big.ply": ply("binary_big_endian"),
        "ascii.pcd": pcd("ascii"),
        "binary.pcd": pcd("binary"),
        "compressed.pcd": pcd("binary_compressed"),
        "plain.xyz": rows(np.concatenate([POINTS, NORMALS], 1)).encode(),
        "commas.xyz": b"x,y,z,nx,ny,nz\n" + rows(np.concatenate([POINTS, NORMALS], 1)).replace(" ", ",").encode(),
        "mesh.obj": obj.encode(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    np.savez(folder / "arrays.npz", points=POINTS, normals=NORMALS)
    return {name: folder / name for name in (*contents, "arrays.npz")}


@pytest.mark.parametrize(
    "name",
    [
        *(f"{form}.ply" for form in ("ascii", "little", "big")),
        *(f"{form}.pcd" for form in ("ascii", "binary", "compressed")),
        *("plain.xyz", "commas.xyz", "mesh.obj", "arrays.npz"),
    ],
)
def test_every_format_gives_the_same_cloud(tmp_path: Path, name: str):
    cloud = read_cloud(files(tmp_path)[name])
    assert np.array_equal(cloud.points_N3, POINTS)
    assert cloud.normals_N3 is not None and np.allclose(cloud.normals_N3, NORMALS, atol=1e-6)


def test_a_back_reference_of_lzf_repeats_what_it_writes(tmp_path: Path):
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA binary_compressed\n"
    packed = bytes([3]) + struct.pack("<f", 1.5) + bytes([7 << 5, 20 - 9, 3])  # four bytes, then twenty of four back
    path = tmp_path / "c.pcd"
    path.write_bytes(head.encode() + struct.pack("<II", len(packed), 24) + packed)
    assert (read_cloud(path).points_N3 == 1.5).all()


def test_rows_without_numbers_are_dropped_and_counted(tmp_path: Path):
    path = tmp_path / "c.xyz"
    path.write_text("1 2 3\nnan 0 0\n4 5 6\ninf 1 1\n")
    cloud = read_cloud(path)
    assert cloud.points_N3.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (cloud.dropped, cloud.normals_N3) == (2, None)


def test_colours_are_not_taken_for_normals_nor_zeros(tmp_path: Path):
    path = tmp_path / "c.xyz"
    path.write_text("1 2 3 255 0 0\n4 5 6 0 128 9\n")
    assert read_cloud(path).normals_N3 is None
    np.savez(tmp_path / "z.npz", points=POINTS, normals=np.zeros((3, 3)))
    assert read_cloud(tmp_path / "z.npz").normals_N3 is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ply", b"solid"),
        ("b.ply", ply("binary_little_endian")[:-9]),
        ("c.ply", ply("ascii").replace(b"255\n", b"\n")),
        ("d.pcd", pcd("binary")[:-1]),
        ("e.pcd", pcd("binary_compressed")[:-7]),
        ("f.pcd", b"VERSION 0.7\n"),
        ("g.xyz", b""),
        ("h.xyz", b"1 2 3\n4 5 here\n"),
        ("i.npz", b"PK no"),
        ("j.obj", b"f 1 2 3\n"),
        ("k.las", b"LASF"),
        ("l.xyz", b"nan nan nan\n"),
    ],
)
def test_a_file_that_is_no_cloud_is_named_in_one_sentence(tmp_path: Path, name: str, content: bytes):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as told:
        read_cloud(path)
    assert str(path) in str(told.value) and str(told.value).endswith(".") and "\n" not in str(told.value)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".glb"])
def test_a_mesh_comes_back_in_its_frame(tmp_path: Path, suffix: str):
    mesh = box_mesh((1, 2, 3), (2, 4, 3.5))
    write_mesh(tmp_path / f"m{suffix}", mesh)
    again = read_mesh(tmp_path / f"m{suffix}")
    assert len(again.faces_F3) == 12 and len(again.vertices_V3) == 8
    assert np.allclose(again.vertices_V3.min(0), [1, 2, 3]) and np.allclose(again.vertices_V3.max(0), [2, 4, 3.5])


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_large_offsets_survive(tmp_path: Path, suffix: str):
    mesh = box_mesh()
    far = Mesh(mesh.vertices_V3 + np.array([5.0e8, 4.5e9, 100]), mesh.faces_F3)
    write_mesh(tmp_path / f"m{suffix}", far)
    again = read_mesh(tmp_path / f"m{suffix}")
    assert np.abs(again.vertices_V3.min(0) - [5.0e8, 4.5e9, 100]).max() < 1e-3


def test_what_a_mesh_file_cannot_hold_is_refused(tmp_path: Path):
    mesh = box_mesh()
    with pytest.raises(UsageError, match="single precision"):
        write_mesh(tmp_path / "m.stl", Mesh(mesh.vertices_V3 + 5.0e9, mesh.faces_F3))
    with pytest.raises(UsageError, match=r"\.ply"):
        write_mesh(tmp_path / "m.dae", mesh)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c.ply").write_bytes(ply("ascii"))
    with pytest.raises(InputError, match="triangles"):
        read_mesh(tmp_path / "c.ply")
