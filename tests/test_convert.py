"""`nid convert`: a checkpoint of the published layout draws the same pictures here; anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_cases import Nid
from torch import Tensor
from torch.nn import functional

from nidcli.artifacts import load_codes, load_model
from nidcli.coding import coder
from nidcli.files.images import write_image
from nidcli.imaging import encode, render

K, C, H, E, V, PIXELS, TOP = 40, 3, 12, 20, 8, 16, 6
BLOCKS = range(2, 6)


def official(channels: int = C, lookup: bool = False) -> dict[str, Tensor]:
    """Random tensors under the names, and of the shapes, of the published model, small."""
    g = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "experts.net.net.0.0": (H, E), "experts.net.net.1.0": (H, H), "experts.net.net.2.0": (H, H),
        "experts.net.net.3.0": (K * channels, H),
    }  # fmt: skip
    if not lookup:
        shapes |= {"gate_generator.convs.conv_theta": (5, channels, 3, 3), "gate_generator.convs.cnn.0": (V, 5, 3, 3)}
        shapes |= {f"gate_generator.convs.cnn.{i}.convs.{j}": (V, V, 5, 5) for i in BLOCKS for j in (0, 2)}
        shapes |= {"gate_generator.convs.cnn.6": (V, V, 1, 1), "gate_generator.convs.fc": (1, PIXELS**2)}
        shapes |= {"gate_generator.fc": (K + channels, V)}
    state = {"experts.map.B": 2 * torch.randn(E // 2, 2, generator=g)}
    for name, shape in shapes.items():
        fan = int(np.prod(shape[1:]))
        state[f"{name}.weight"] = torch.randn(shape, generator=g) * (2 / fan) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=g)
    if lookup:
        state["gate_generator.codebook.weight"] = torch.randn(7, K + channels, generator=g)
    return state


def theirs(state: dict[str, Tensor], patch_HWC: Tensor) -> Tensor:
    """What the published model draws of a patch, written down from its layout: (H, W, C)."""
    w = lambda name: (state[f"{name}.weight"], state[f"{name}.bias"])  # noqa: E731
    axis = 2 * torch.arange(PIXELS) / (PIXELS - 1) - 1
    coords_N2 = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), 2).reshape(-1, 2)
    phase = coords_N2 @ state["experts.map.B"].T
    h = torch.cat([phase.sin(), phase.cos()], 1)
    for number in range(3):
        h = functional.linear(h, *w(f"experts.net.net.{number}.0")).relu()
    atoms_NKC = functional.linear(h, *w("experts.net.net.3.0")).view(-1, K, C)
    x = functional.conv2d(patch_HWC.permute(2, 0, 1)[None], *w("gate_generator.convs.conv_theta"), padding=1).relu()
    x = functional.conv2d(x, *w("gate_generator.convs.cnn.0"), padding=1).relu()
    for i in BLOCKS:
        y = functional.conv2d(x, *w(f"gate_generator.convs.cnn.{i}.convs.0"), padding=2).relu()
        x = (functional.conv2d(y, *w(f"gate_generator.convs.cnn.{i}.convs.2"), padding=2).relu() + x).relu()
    x = functional.conv2d(x, *w("gate_generator.convs.cnn.6")).relu()
    x = functional.linear(x.flatten(2), *w("gate_generator.convs.fc")).squeeze(2).relu()
    raw_Q = functional.linear(x, *w("gate_generator.fc"))[0]
    gates_K = torch.zeros(K)
    chosen = raw_Q[:K].abs().topk(TOP).indices
    gates_K[chosen] = raw_Q[chosen]
    return (torch.einsum("nkc,k->nc", atoms_NKC, gates_K) + raw_Q[K:]).view(PIXELS, PIXELS, C)


def checkpoint(path: Path, state: dict[str, Tensor], **parts: object) -> Path:
    whole = {"model": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}}, "current_epoch": 3, **parts}
    torch.save(whole, path)
    return path


def test_a_converted_checkpoint_encodes_and_decodes_as_the_published_model_does(nid: Nid, tmp_path: Path):
    state = official()
    path = checkpoint(tmp_path / "a.ckpt", state)
    code, out, err = nid("convert", path, "-o", tmp_path / "a.nid", "--top-k", TOP, "--json")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert (item["experts"], item["top_k"], item["gate"], item["epochs"]) == (K, TOP, True, 3)
    assert item["dropped"] == ["optimizer"]
    photo = np.random.default_rng(0).random((2 * PIXELS, 3 * PIXELS, C)).astype(np.float32)
    write_image(tmp_path / "p.npy", photo)
    code, _, err = nid("encode", tmp_path / "p.npy", "-o", tmp_path / "p.nidc", "--dict", tmp_path / "a.nid")
    assert code == 0, err
    file, model = load_codes(tmp_path / "p.nidc"), load_model(tmp_path / "a.nid").model
    assert file.code.coefficients == 6 * (TOP + C)
    (exact,) = encode(model, torch.from_numpy(photo)[None], coder(model, "gate", TOP))
    drawn, stored = (render(model, each, 3 * PIXELS, 2 * PIXELS) for each in (exact, file.code))
    for y in range(2):
        for x in range(3):
            window = (slice(PIXELS * y, PIXELS * (y + 1)), slice(PIXELS * x, PIXELS * (x + 1)))
            wanted = theirs(state, torch.from_numpy(photo[window]))
            largest = float(wanted.abs().max())
            assert torch.allclose(drawn[window], wanted, atol=2e-5 * largest)
            assert torch.allclose(stored[window], wanted, atol=1e-3 * largest)  # a file rounds its coefficients


def test_a_lookup_table_is_left_behind_and_the_experts_stay(nid: Nid, tmp_path: Path):
    path = checkpoint(tmp_path / "a.ckpt", official(channels=1, lookup=True))
    code, out, err = nid("convert", path, "-o", tmp_path / "a.nid", "--json")
    assert code == 0, err
    (item,) = json.loads(out)["items"]
    assert item["gate"] is False and item["dropped"] == ["optimizer", "lookup table"] and item["top_k"] == K
    assert load_model(tmp_path / "a.nid").model.moe is None


class Harmless:
    """An object that is no tensor."""


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"surprise": 1}, "unknown part 'surprise'"),
        ({"model": {"experts.map.B": [1.0]}}, "is no tensor"),
        ({"model": {}}, "no experts"),
        ({"model": official() | {"extra.weight": torch.ones(2)}}, "'extra.weight'"),
        ({"model": official() | {"experts.map.B": torch.ones(3, 2)}}, "size mismatch"),
        ({"model": official() | {"experts.map.B": torch.full((E // 2, 2), torch.nan)}}, "not finite"),
        ({"optimizer": Harmless()}, "more than tensors"),
    ],
)
def test_anything_else_is_refused_with_5(nid: Nid, tmp_path: Path, parts: dict[str, object], words: str):
    path = checkpoint(tmp_path / "a.ckpt", official(), **parts)
    code, _, err = nid("convert", path, "-o", tmp_path / "a.nid")
    assert code == 5 and words in err and str(path) in err
    assert not (tmp_path / "a.nid").exists()


def test_a_gate_that_is_missing_a_part_is_refused(nid: Nid, tmp_path: Path):
    state = official()
    del state["gate_generator.convs.fc.weight"]
    code, _, err = nid("convert", checkpoint(tmp_path / "a.ckpt", state), "-o", tmp_path / "a.nid")
    assert code == 5 and "gate" in err


def test_other_files_and_outputs_have_the_exit_codes_of_the_contract(nid: Nid, tmp_path: Path):
    (tmp_path / "text.ckpt").write_text("words")
    assert nid("convert", tmp_path / "text.ckpt", "-o", tmp_path / "a.nid")[0] == 5
    assert nid("convert", tmp_path / "none.ckpt", "-o", tmp_path / "a.nid")[0] == 4
    assert nid("convert", tmp_path / "text.ckpt", "-o", tmp_path / "a.png")[0] == 2
    path = checkpoint(tmp_path / "a.ckpt", official())
    assert nid("convert", path, "-o", tmp_path / "a.nid", "--dry-run")[0] == 0
    assert not (tmp_path / "a.nid").exists()
    (tmp_path / "a.nid").write_text("mine")
    assert nid("convert", path, "-o", tmp_path / "a.nid")[0] == 6
    assert nid("convert", path, "-o", tmp_path / "a.nid", "--overwrite")[0] == 0
