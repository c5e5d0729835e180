"""`nid sdf-recon` and `nid eval --kind mesh`: shapes whose surface is known, hard inputs, and failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from solid_cases import box_cloud, box_mesh, normals_of, small_model, sphere_cloud

from nidcli.artifacts import Metadata, save_model
from nidcli.errors import InputError, UsageError
from nidcli.files.clouds import Cloud
from nidcli.files.images import read_image
from nidcli.files.meshes import Mesh, read_mesh, write_mesh
from nidcli.sdf.compare import compare, winding_grid
from nidcli.sdf.normals import estimate_normals
from nidcli.sdf.reconstruct import Options, check_model, reconstruct

Nid = Callable[..., tuple[int, str, str]]
QUIET = lambda text: None  # noqa: E731


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dict") / "solids.nid"
    save_model(path, small_model(), Metadata())
    return path


def volume(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices_V3 - mesh.vertices_V3.mean(0))[mesh.faces_F3].transpose(1, 0, 2)
    return float(np.einsum("fd,fd->", a, np.cross(b, c)) / 6)


def test_a_sphere_is_whole_closed_and_of_its_size():
    surface = reconstruct(small_model(), sphere_cloud(900), Options(resolution=48), QUIET)
    assert surface.report.watertight and surface.report.components == 1
    assert volume(surface.mesh) == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.03)
    assert np.abs(np.linalg.norm(surface.mesh.vertices_V3, axis=1) - 0.9).max() < 0.05


def test_millimetres_at_large_offsets_change_nothing_but_the_frame():
    cloud = sphere_cloud(500)
    near = reconstruct(small_model(), cloud, Options(resolution=32), QUIET)
    shift = np.array([4.1e8, 5.2e9, 3.0e5])
    far = reconstruct(
        small_model(), Cloud(cloud.points_N3 * 1500 + shift, normals_of(cloud)), Options(resolution=32), QUIET
    )
    assert far.report.vertices == pytest.approx(near.report.vertices, rel=0.01)
    assert volume(far.mesh) / 1500**3 == pytest.approx(volume(near.mesh), rel=1e-3)


def test_two_bodies_stay_two_and_nothing_lies_between_them():
    one, two = sphere_cloud(700, 0.35), sphere_cloud(700, 0.35, seed=1)
    shift = np.array([0.5, 0, 0])
    points = np.concatenate([one.points_N3 - shift, two.points_N3 + shift])
    normals = np.concatenate([normals_of(one), normals_of(two)])
    surface = reconstruct(small_model(), Cloud(points, normals), Options(resolution=64, symmetry="none"), QUIET)
    assert surface.report.components == 2
    assert (np.abs(surface.mesh.vertices_V3[:, 0]) > 0.1).all()


def test_without_normals_a_noisy_sphere_is_found_and_looks_outwards():
    cloud = sphere_cloud(1500)
    noisy = cloud.points_N3 + np.random.default_rng(1).normal(size=(1500, 3)) * 0.008
    found = estimate_normals(noisy)
    assert (np.einsum("nd,nd->n", found.normals_N3, normals_of(cloud)) > 0.7).mean() > 0.98
    assert 0.003 < found.noise < 0.016
    surface = reconstruct(small_model(), Cloud(noisy), Options(resolution=48, symmetry="none"), QUIET)
    assert surface.report.normals == "estimated"
    assert volume(surface.mesh) == pytest.approx(4 / 3 * np.pi * 0.9**3, rel=0.06)


def test_noise_is_not_drawn():
    cloud = sphere_cloud(12000)
    noisy = Cloud(cloud.points_N3 + np.random.default_rng(1).normal(size=(12000, 3)) * 0.02, normals_of(cloud))
    settings = Options(resolution=64, symmetry="none")
    told, silent = (reconstruct(small_model(), noisy, replace(settings, noise=s), QUIET) for s in (0.02, 1e-4))
    assert told.report.cells < 0.5 * silent.report.cells
    rough = [np.linalg.norm(each.mesh.vertices_V3, axis=1).std() for each in (told, silent)]
    assert rough[0] < 0.8 * rough[1]


def test_a_part_that_is_inside_out_turns_over():
    from nidcli.sdf.normals import consistent

    cloud = box_cloud(1500)
    wrong = np.where(cloud.points_N3[:, :1] > 0.2, -1, 1) * normals_of(cloud)
    agree = np.einsum("nd,nd->n", consistent(cloud.points_N3, wrong), normals_of(cloud))
    assert (agree > 0).mean() > 0.98


def test_a_flat_sheet_stays_a_sheet():
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1, 1, (600, 2)), np.zeros(600)])
    surface = reconstruct(small_model(), Cloud(points, np.tile([0, 0, 1.0], (600, 1))), Options(resolution=48), QUIET)
    assert not surface.report.watertight
    inner = surface.mesh.vertices_V3[np.abs(surface.mesh.vertices_V3[:, :2]).max(1) < 0.8]
    assert len(inner) and np.abs(inner[:, 2]).max() < 0.1


def test_many_points_are_thinned_and_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nidcli.sdf.reconstruct.MOST_POINTS", 400)
    told: list[str] = []
    surface = reconstruct(small_model(), sphere_cloud(5000), Options(resolution=32), told.append)
    assert surface.report.points == 5000 and surface.report.used <= 400
    assert "5000 points are averaged" in told[0]


def test_a_half_that_is_unseen_is_left_open_or_mirrored_where_that_is_asked():
    cloud = box_cloud(3000)
    seen = (cloud.points_N3 @ np.array([1.0, 0.3, 0.2])) < 0.55
    half = Cloud(cloud.points_N3[seen], normals_of(cloud)[seen])
    left = reconstruct(small_model(), half, Options(resolution=48, symmetry="none"), QUIET)
    whole = reconstruct(small_model(), half, Options(resolution=48, complete="mirror", symmetry="none"), QUIET)
    assert left.report.added == 0 and not left.report.watertight
    assert whole.report.added > 100
    reach = [float(np.ptp(surface.mesh.vertices_V3[:, 0])) for surface in (left, whole)]
    assert reach[1] == pytest.approx(1.8, abs=0.1) and reach[0] <= reach[1] + 0.05


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_points_are_told_in_one_sentence(count: int):
    with pytest.raises(InputError, match="too few"):
        reconstruct(small_model(), Cloud(np.random.default_rng(0).random((count, 3))), Options(), QUIET)
    with pytest.raises(InputError, match="1 different point"):
        reconstruct(small_model(), Cloud(np.ones((50, 3))), Options(), QUIET)


def test_normals_that_are_not_there_cannot_be_asked_for():
    with pytest.raises(UsageError, match="no normals"):
        reconstruct(small_model(), Cloud(np.random.default_rng(0).random((50, 3))), Options(normals="file"), QUIET)


def test_the_command_writes_meshes_pictures_and_a_report(nid: Nid, dictionary: Path, tmp_path: Path):
    cloud = sphere_cloud(500)
    np.savez(tmp_path / "ball.npz", points=cloud.points_N3 * 3 + 7, normals=normals_of(cloud))
    arguments = ("sdf-recon", tmp_path / "ball.npz", "--dict", dictionary, "-o", tmp_path / "ball.glb")
    code, out, err = nid(*arguments, "--resolution", 32, "--preview", tmp_path / "p.png", "--json")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert {"points", "vertices", "watertight", "components"} <= item.keys() and item["watertight"] is True
    mesh = read_mesh(tmp_path / "ball.glb")
    assert np.allclose((mesh.vertices_V3.min(0) + mesh.vertices_V3.max(0)) / 2, 7, atol=0.1)
    picture = read_image(tmp_path / "p.png").pixels
    assert picture.shape == (480, 960, 3)
    assert (picture[:, :480] < 200).any() and (picture[200:280, 680:760] < 250).all()  # points left, a ball right
    assert nid(*arguments)[0] == 6
    assert nid(*arguments, "--overwrite", "--dry-run")[0] == 0


def test_a_folder_goes_on_and_other_dictionaries_are_refused(nid: Nid, dictionary: Path, tmp_path: Path):
    cloud = sphere_cloud(300)
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    np.savez(clouds / "good.npz", points=cloud.points_N3, normals=normals_of(cloud))
    (clouds / "few.xyz").write_text("0 0 0\n1 0 0\n0 1 0\n")
    (clouds / "bad.ply").write_bytes(b"no ply")
    code, out, _ = nid("sdf-recon", clouds, "--dict", dictionary, "-o", tmp_path / "out", "--format", "obj", "--json")
    items = {Path(item["input"]).name: item for item in json.loads(out)["items"]}
    assert code == 3
    assert (
        "few.xyz has 3 different points, too few" in items["few.xyz"]["error"]
        and "not a PLY" in items["bad.ply"]["error"]
    )
    assert (tmp_path / "out" / "good.obj").is_file()
    code, _, err = nid("sdf-recon", clouds / "good.npz", "--dict", "face", "-o", tmp_path / "x.ply")
    assert code == 2 and "kind image" in err
    with pytest.raises(UsageError):
        check_model(type("M", (), {"spec": type("S", (), {"kind": "ct"})})(), "other", Options())


def test_eval_of_a_mesh_with_itself_and_with_one_a_little_larger(nid: Nid, tmp_path: Path):
    for name, high in (("a", 1.0), ("b", 1.1)):
        (tmp_path / name).mkdir()
        write_mesh(tmp_path / name / "box.ply", box_mesh((0, 0, 0), (high, 1, 1)))
    code, out, _ = nid("eval", tmp_path / "b", tmp_path / "a", "--kind", "mesh", "--json")
    document = json.loads(out)
    (item,) = document["items"]
    assert code == 0 and document["mean"]["iou"] == pytest.approx(1 / 1.1, abs=0.01)
    assert item["fscore"] < 0.95 and item["chamfer"] > 1
    same = compare(box_mesh(), box_mesh())
    assert same.iou == 1 and same.fscore > 0.99 and same.normal_consistency > 0.98
    # points spread over area A: mean squared distance to the nearest of n is A / (pi n)
    assert same.chamfer == pytest.approx(1e3 * 1.8**2 * 6 / (np.pi * 100_000), rel=0.1)
    open_box = Mesh(box_mesh().vertices_V3, box_mesh().faces_F3[2:])
    assert np.isnan(compare(open_box, box_mesh(), 1000).iou)


def test_the_winding_grid_of_a_box_counts_it_once_and_twice_where_it_is_doubled():
    one = box_mesh((0.2, 0.2, 0.2), (0.7, 0.8, 0.6))
    found = winding_grid(one, np.zeros(3), np.ones(3), 10)
    assert found.sum() == 5 * 6 * 4 and set(np.unique(found)) == {0, 1}
    twice = Mesh(np.concatenate([one.vertices_V3] * 2), np.concatenate([one.faces_F3, one.faces_F3 + 8]))
    assert winding_grid(twice, np.zeros(3), np.ones(3), 10).max() == 2
