"""Every command on another device than the processor: the same answer, and no tensor left behind on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_cases import phantom, scan_of
from photo_cases import scene
from pretended import Pretended, pretended_cuda
from solid_cases import normals_of, sphere_cloud
from tiny import edges, photos, tiny  # noqa: F401
from video_cases import crossing, write_frames

from nidcli.artifacts import bundled
from nidcli.files.images import read_image, write_image
from nidcli.files.meshes import read_mesh

Nid = Callable[..., tuple[int, str, str]]
Both = Callable[..., tuple[Path, Path]]
EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.png"

pytestmark = [
    pytest.mark.skipif("face" not in bundled(), reason="no bundled dictionaries"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture
def both(nid: Nid, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Both:
    """Run a command on the processor and on the pretended device; the two outputs. PLACE in arguments is the folder."""

    def run(*arguments: object, output: str) -> tuple[Path, Path]:
        for device in ("cpu", "cuda"):
            folder = tmp_path / device
            folder.mkdir(exist_ok=True)
            given = [str(argument).replace("PLACE", str(folder)) for argument in arguments]
            command = (*given, "-o", folder / output, "--device", device, "--json")
            if device == "cuda":
                with pretended_cuda(monkeypatch):
                    code, out, err = nid(*command)
            else:
                code, out, err = nid(*command)
            assert code == 0, err
            assert json.loads(out)["device"] == device
        return tmp_path / "cpu" / output, tmp_path / "cuda" / output

    return run


def alike(one: Path, other: Path, most: float = 1.01) -> bool:
    a, b = (read_image(path).pixels.astype(float) for path in (one, other))
    return a.shape == b.shape and float(np.abs(a - b).max()) <= most


def test_the_pretended_device_keeps_the_rules_of_a_real_one(monkeypatch: pytest.MonkeyPatch):
    with pretended_cuda(monkeypatch):
        there, here = torch.rand(3, 3, device="cuda"), torch.rand(3, 3)
        assert there.device.type == (there @ there).device.type == here.to(there).device.type == "cuda"
        assert here.device.type == there.cpu().device.type == "cpu" and not isinstance(there.cpu(), Pretended)
        for mixed in (lambda: there + here, lambda: here[there > 0], lambda: torch.cat([there, here])):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(NotImplementedError):
            there.long() @ there.long()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, generator=torch.Generator(), device="cuda")
        there[here > 0.5] = 0  # numbers and indices may come from here
        net = torch.nn.Linear(3, 3).to("cuda")
        net(there + here[0, 0]).sum().backward()
        assert net.weight.grad is not None and net.weight.grad.device.type == "cuda"


@pytest.mark.parametrize("solver", ["gate", "omp", "map", "fista"])
def test_photos_are_coded_alike(both: Both, nid: Nid, tmp_path: Path, solver: str):
    write_image(tmp_path / "photo.png", scene(40, 28))
    codes = both("encode", tmp_path / "photo.png", "--solver", solver, "--top-k", 16, output="photo.nidc")
    drawn = [code.with_suffix(".png") for code in codes]
    for code, picture in zip(codes, drawn, strict=True):
        assert nid("decode", code, "-o", picture)[0] == 0
    assert alike(drawn[0], drawn[1], most=3)


def test_codes_are_refined_and_drawn_alike(both: Both, tmp_path: Path):
    write_image(tmp_path / "photo.png", scene(40, 28))
    both("encode", tmp_path / "photo.png", output="photo.nidc")
    both("refine", "PLACE/photo.nidc", "--data", tmp_path / "photo.png", output="better.nidc")
    one, other = both("decode", "PLACE/better.nidc", output="better.png")
    assert alike(one, other, most=3)


@pytest.mark.parametrize("damage", ["hole", "strewn", "unknown"])
def test_photos_are_inpainted_alike(both: Both, tmp_path: Path, damage: str):
    pixels = read_image(EXAMPLE).pixels[..., :3].copy()
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[60:84, 50:80] = 255
    if damage == "strewn":
        mask[:] = 255 * (np.random.default_rng(0).random(mask.shape) < 0.7)
    pixels[mask > 0] = (20, 220, 40)
    write_image(tmp_path / "photo.png", pixels)
    write_image(tmp_path / "mask.png", mask[:, :, None])
    known = () if damage == "unknown" else ("--mask", tmp_path / "mask.png")
    assert alike(*both("inpaint", tmp_path / "photo.png", *known, output="whole.png"))


def test_photos_are_enlarged_alike(both: Both, tmp_path: Path):
    write_image(tmp_path / "photo.png", read_image(EXAMPLE).pixels[::2, ::2, :3].copy())
    assert alike(*both("upscale", tmp_path / "photo.png", output="large.png"))


def test_slices_are_reconstructed_alike(both: Both, tmp_path: Path):
    np.save(tmp_path / "scan.npy", scan_of(phantom(2, 64), 12))
    one, other = both("ct-recon", tmp_path / "scan.npy", "--angles", 12, "--baseline", "tv", output="slice.npy")
    assert np.abs(np.load(one) - np.load(other)).max() < 0.01


def test_clouds_become_alike_meshes(both: Both, tmp_path: Path):
    cloud = sphere_cloud(400)
    np.savez(tmp_path / "cloud.npz", points=cloud.points_N3, normals=normals_of(cloud))
    one, other = (read_mesh(path) for path in both("sdf-recon", tmp_path / "cloud.npz", output="mesh.ply"))
    assert len(one.faces_F3) == pytest.approx(len(other.faces_F3), rel=0.01)
    assert np.abs(np.linalg.norm(other.vertices_V3, axis=1) - 0.9).max() < 0.05


def test_clips_are_decomposed_alike(both: Both, tmp_path: Path):
    frames = write_frames(tmp_path / "clip", crossing().frames)
    one, other = both("decompose-video", frames, output="parts")
    assert alike(one / "background.png", other / "background.png", most=2)


def test_dictionaries_are_learned_there_too(both: Both, photos: Path, tiny: Path):
    one, other = both("learn-dict", "--data", photos, "--config", tiny, output="tiny.nid")
    assert one.stat().st_size == pytest.approx(other.stat().st_size, rel=0.05)
