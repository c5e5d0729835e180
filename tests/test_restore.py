"""Restoring made-up faces, of which the dictionary knows the class: holes, damage, small photos, frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from faces import SIDE, face_model, faces, psnr

from nidcli.errors import InputError, UsageError
from nidcli.model import Model, ModelSpec
from nidcli.observers import observer
from nidcli.restore import frame
from nidcli.restore.damaging import damaged
from nidcli.restore.doubt import deviation
from nidcli.restore.estimate import fold, unfold, view
from nidcli.restore.fill import harmonic
from nidcli.restore.frame import Frame, cut
from nidcli.restore.masked import fill
from nidcli.restore.photo import restore
from nidcli.restore.robust import robust
from nidcli.restore.small import enlarge, in_line
from nidcli.restore.trust import Fit
from nidcli.restore.whole import FINE, WholeImage, whole_of


def eye_hole() -> torch.Tensor:
    known = torch.ones(SIDE, SIDE, dtype=torch.bool)
    known[8:18, 5:15] = False  # an eye and what is around it
    return known


@pytest.mark.parametrize("nets", [False, True])
def test_an_eye_that_was_never_seen_is_drawn_again(nets):
    known, gain = eye_hole(), []
    for truth in faces(5, 9):
        filled = fill(face_model(nets), truth, known)
        assert torch.equal(filled[known], truth[known])
        smooth = harmonic(truth[None], known[None])[0]
        gain.append(psnr(filled[~known], truth[~known]) - psnr(smooth[~known], truth[~known]))
    assert sum(gain) / len(gain) > 5


def test_an_answer_does_not_depend_on_what_the_hole_hides():
    (truth,), known = faces(1, 9), eye_hole()
    hidden = torch.where(known[..., None], truth, 1 - truth)
    assert torch.equal(fill(face_model(), truth, known), fill(face_model(), hidden, known))


def test_the_posterior_of_many_photos_is_that_of_each():
    whole = WholeImage.of(whole_of(face_model()))
    values, weight = torch.rand(4, len(whole.mean_M)), torch.rand(4, len(whole.mean_M)).round()
    together = whole.draw(whole.posterior(values, weight))
    alone = torch.cat([whole.draw(whole.posterior(values[i : i + 1], weight[i : i + 1])) for i in range(4)])
    assert float((together - alone).abs().mean()) < 1e-2  # those that are solved together stop a little earlier


def test_the_posterior_mean_is_that_of_the_formula():
    whole = WholeImage.of(whole_of(face_model()))
    weight = (torch.arange(len(whole.mean_M)) % 3 > 0).float()[None]
    values = torch.rand(1, len(whole.mean_M))
    phi, w = whole.design_MK[:, 1:].double(), (weight[0] / whole.noise_M.square()).double()
    inner = phi.T @ (w[:, None] * phi) + torch.diag(whole.spread_K[1:].double() ** -2)
    code = torch.linalg.solve(inner, phi.T @ (w * (values[0] - whole.mean_M).double()))
    found = whole.posterior(values, weight)[:, 0]
    assert torch.allclose(found[1:].double() - whole.mean_K[1:], code, atol=1e-3)
    assert found[0] == whole.mean_K[0]  # the mean photo's code never varies


def test_a_patch_is_believed_less_than_what_is_around_it():
    whole = WholeImage.of(whole_of(face_model()))
    (truth,) = faces(1, 9)
    painted = truth.clone()
    painted[8:18, 5:15] = torch.tensor([0.1, 0.9, 0.3])
    samples = painted.view(SIDE // FINE, FINE, SIDE // FINE, FINE, 3).mean((1, 3)).reshape(1, -1)
    fit = robust(whole, samples)
    weight = fit.weight_BN.view(SIDE // FINE, -1)
    assert fit.converged
    assert float(weight[4:9, 3:7].mean()) < 0.1 < 0.7 < float(weight[10:].mean())


def test_unknown_damage_is_replaced_and_the_rest_left_alone():
    photo = (faces(1, 9)[0] * 255).round().to(torch.uint8).numpy()
    painted = photo.copy()
    painted[8:18, 5:15] = (20, 230, 60)
    result = restore(face_model(), painted, None)
    assert result.damaged_HW[8:18, 5:15].mean() > 0.9
    assert np.array_equal(result.pixels[~result.damaged_HW], painted[~result.damaged_HW])
    error = lambda a: np.square(a[8:18, 5:15] / 255.0 - photo[8:18, 5:15] / 255.0).mean()  # noqa: E731
    assert error(result.pixels) < error(painted) / 15


@pytest.mark.parametrize("scale", [2, 4])
def test_an_enlarged_photo_averaged_down_is_the_small_one_and_beats_interpolation(scale):
    (truth,) = faces(1, 9)
    small = truth.view(SIDE // scale, scale, SIDE // scale, scale, 3).mean((1, 3))
    whole = whole_of(face_model())
    large = in_line(torch.rand(SIDE, SIDE, 3), small, scale, whole.rough_P, 1.0)
    assert torch.allclose(large.view(SIDE // scale, scale, SIDE // scale, scale, 3).mean((1, 3)), small, atol=1e-4)
    cubic = torch.nn.functional.interpolate(small.permute(2, 0, 1)[None], scale_factor=scale, mode="bicubic")
    assert psnr(enlarge(face_model(), small, scale), truth) > psnr(cubic[0].permute(1, 2, 0), truth) + 0.5


def test_a_hole_is_less_sure_than_its_border_and_what_is_known_is_sure():
    known = eye_hole()
    spread = deviation(face_model(), known, Frame.middle(SIDE, SIDE), 0)
    assert torch.equal(spread[known], torch.zeros_like(spread[known]))
    assert float(spread[12:14, 9:11].mean()) > float(spread[8, 5:15].mean()) > 0


def test_a_larger_photo_that_is_no_square_is_filled_as_well():
    (truth,) = faces(1, 9, 48)
    photo = torch.nn.functional.pad(truth.permute(2, 0, 1), (8, 16), mode="replicate").permute(1, 2, 0)
    known = torch.ones(photo.shape[:2], dtype=torch.bool)
    known[12:27, 20:35] = known[30:40, 2:6] = False
    filled = fill(face_model(), photo, known, Frame(32, 24, 24))
    smooth = harmonic(photo[None], known[None])[0]
    assert torch.equal(filled[known], photo[known])
    assert psnr(filled[~known], photo[~known]) > psnr(smooth[~known], photo[~known]) + 3


def test_a_frame_maps_there_and_back():
    place, points = Frame(20, 14, 9, 0.4), torch.rand(30, 2) * 2 - 1
    assert torch.allclose(place.from_photo(place.to_photo(points)), points, atol=1e-5)
    assert torch.allclose(place.to_photo(torch.tensor([[0.0, 0.0]])), torch.tensor([[20.0, 14.0]]))
    right = place.to_photo(torch.tensor([[1.0, 0.0]])) - torch.tensor([[20.0, 14.0]])
    assert float(right[0, 1]) > 0  # a positive angle turns right downwards: clockwise


def test_a_photo_as_large_as_the_frame_is_cut_and_put_back_exactly():
    photo, known = torch.rand(1, 32, 32, 3), torch.rand(1, 32, 32) > 0.3
    values, share = cut(Frame.middle(32, 32), photo, known, 32)
    assert torch.allclose(values[known], photo[known], atol=1e-5)
    assert torch.equal(share > 0.5, known)
    assert torch.allclose(frame.back(Frame.middle(32, 32), photo, 32, 32), photo, atol=1e-5)


@pytest.mark.parametrize(
    "hole, sentence", [(np.zeros((SIDE, SIDE), bool), "no pixel"), (np.ones((SIDE, SIDE), bool), "every")]
)
def test_a_hole_of_nothing_or_everything_is_refused(hole, sentence):
    with pytest.raises(InputError, match=sentence):
        restore(face_model(), (faces(1, 9)[0] * 255).to(torch.uint8).numpy(), hole)


def test_a_dictionary_without_a_whole_image_level_is_refused():
    with pytest.raises(UsageError, match="no level for the whole image"):
        whole_of(Model(ModelSpec()))


def test_observations_show_truths_behind_holes_and_damage():
    model, chance = face_model(nets=True), torch.Generator().manual_seed(3)
    for observe, inputs, channels in ((observer(model), 28, 12), (observer(model, "detector_observer"), 32, 4)):
        seen, truth = observe(faces(3, 1), chance)
        assert seen.shape == (3, inputs, SIDE // FINE, SIDE // FINE)
        assert truth.shape == (3, channels, SIDE // FINE, SIDE // FINE)
    image = faces(1, 1)[0]
    for _ in range(20):
        painted, where = damaged(image, chance)
        assert torch.equal(painted[~where], image[~where])


def test_blocks_become_channels_and_pixels_again():
    images = torch.rand(2, 6, 8, 3)
    assert torch.equal(unfold(fold(images)), images)
    whole = WholeImage.of(whole_of(face_model()))
    seen = view(whole, faces(3, 2), torch.rand(3, SIDE, SIDE) > 0.5)
    assert torch.equal(unfold(seen.folded())[..., :3], seen.carried_BHWC)


def test_in_a_photo_that_does_not_fit_nothing_but_grains_is_damage(monkeypatch: pytest.MonkeyPatch):
    (truth,) = faces(1, 5)
    painted = np.asarray((truth * 255).round(), np.uint8)
    painted[8:18, 5:15] = (0, 255, 0)
    assert restore(face_model(), painted, None).damaged_fraction > 0
    monkeypatch.setattr("nidcli.restore.photo.judge", lambda *_: Fit(9.0, 1.0))
    left = restore(face_model(), painted, None)
    assert left.damaged_fraction == 0 and np.array_equal(left.pixels, painted)
