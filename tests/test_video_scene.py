"""The background as a dictionary: exact at its pixels, orthonormal, and blind to what passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from video_cases import H, W, crossing, room

from nidcli.artifacts import Metadata, load_model, save_model
from nidcli.dictionary import DictionarySpec, slow_cosines
from nidcli.errors import ArtifactError
from nidcli.grid import image_coords
from nidcli.model import Model, ModelSpec
from nidcli.video.scene import (
    LAST,
    change2,
    check_scene,
    codes,
    empty,
    penalties,
    picture,
    rank,
    render,
    render_rows,
    scene_model,
)


@pytest.fixture(scope="module")
def model() -> Model:
    return scene_model(torch.from_numpy(room()))


def test_the_empty_scene_is_the_picture(model: Model):
    assert torch.allclose(picture(model, W, H), torch.from_numpy(room()), atol=1e-4)


def test_the_experts_are_orthonormal_on_the_pixels(model: Model):
    atoms_NCK = model.level(0).bank().atoms(image_coords(W, H))
    rows_MK = atoms_NCK.flatten(0, 1).double()
    assert torch.allclose(rows_MK.T @ rows_MK / len(rows_MK), torch.eye(rows_MK.shape[1]).double(), atol=1e-4)


def test_the_picture_is_drawn_between_its_pixels_as_well(model: Model):
    twice = picture(model, 2 * W, 2 * H)
    halved = twice.view(H, 2, W, 2, 3).mean((1, 3))
    assert float((halved - torch.from_numpy(room())).abs().mean()) < 0.01


def test_rows_and_the_field_give_what_the_measured_experts_give(model: Model):
    code = codes(model, torch.from_numpy(crossing().frames[:3]).float() / 255)
    whole = render(model, code, W, H)
    assert torch.allclose(whole[:, 10:20], render_rows(model, code, W, H, (10, 20)), atol=1e-5)


def test_penalties_rise_and_are_bounded():
    weights = penalties(200)
    assert bool((weights.diff() >= 0).all()) and weights.isfinite().all()
    assert float(weights[-1]) == pytest.approx(LAST) and float(weights[0]) < 0.1 * LAST


def test_light_is_followed_and_a_fifth_of_the_frame_in_front_is_not(model: Model):
    slope = slow_cosines(image_coords(W, H), 2)[:, 1].view(H, W, 1)
    light = torch.from_numpy(room()) * (1.1 + 0.05 * slope)
    frame = light.clone()
    frame[:, 2 * W // 5 : 3 * W // 5] = 0.95
    background = render(model, codes(model, frame[None]), W, H)[0]
    assert float((background - light).abs().mean()) < 0.01
    assert float((background - frame)[:, 2 * W // 5 : 3 * W // 5].abs().mean()) > 0.2


def test_the_rank_counts_what_changes(model: Model):
    mean_K = model.level(0).prior_mean_BK[0]
    still = empty(model.level(0), 4)
    assert rank(change2(still, mean_K), 4) == 1
    moved = still.value_SJ.clone()
    moved[:, 3] += 0.01
    assert rank(change2(type(still)(still.index_SJ, moved, still.constant_SC), mean_K), 4) == 2


def test_a_flat_picture_leaves_dependent_experts_silent():
    model = scene_model(torch.full((20, 30, 3), 0.4))
    design_NCK = model.level(0).bank().atoms(image_coords(30, 20))
    assert design_NCK.isfinite().all() and bool((design_NCK.abs().amax((0, 1)) == 0).any())
    code = codes(model, torch.full((2, 20, 30, 3), 0.5))
    assert torch.allclose(render(model, code, 30, 20), torch.tensor(0.5), atol=2e-3)


def test_a_saved_background_comes_back(model: Model, tmp_path: Path):
    save_model(tmp_path / "camera.nid", model, Metadata(), half=True)
    loaded = load_model(tmp_path / "camera.nid").model
    check_scene(loaded, "camera.nid")
    error = (picture(loaded, W, H) - torch.from_numpy(room())).square().mean()
    assert float(-10 * error.log10()) > 50


def test_another_kind_of_dictionary_is_no_background():
    with pytest.raises(ArtifactError, match="image"):
        check_scene(Model(ModelSpec()), "face")


@pytest.mark.parametrize("wrong", [{"dims": 3}, {"grid": (0, 5)}, {"frequencies": 41}])
def test_a_grid_that_cannot_be_is_refused(wrong: dict):
    fine = {"embedding": "grid", "grid": (4, 5), "frequencies": 40, "hidden": 40}
    with pytest.raises(ValueError, match="grid"):
        DictionarySpec(**{**fine, **wrong})


def test_slow_cosines_start_with_the_constant():
    values = slow_cosines(image_coords(9, 7), 6)
    assert np.allclose(values[:, 0], 1) and float(values[:, 1:].mean(0).abs().max()) < 1e-5
