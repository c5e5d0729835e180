"""Small photos that were blurred, and what an encoder is asked for."""

from __future__ import annotations

import torch
from faces import SAMPLES, SIDE, face_model, faces, psnr

from nidcli.encoder import encoder_loss
from nidcli.operators import Blur
from nidcli.restore.fill import field, field_strength, roughness
from nidcli.restore.small import enlarge
from nidcli.restore.whole import FINE, WholeImage, whole_of


def small_and_blurred(truth: torch.Tensor, sigma: float) -> torch.Tensor:
    small = truth.view(SAMPLES, FINE, SAMPLES, FINE, 3).mean((1, 3))
    return Blur(SAMPLES, SAMPLES, sigma).forward(small.view(-1, 3)).view(small.shape)


def test_a_blurred_photo_becomes_sharp_where_its_blur_is_told():
    model, gain = face_model(), []
    for truth in faces(4, 9):
        small = small_and_blurred(truth, 1.2)
        told, untold = enlarge(model, small, FINE, blur=1.2), enlarge(model, small, FINE)
        gain.append(psnr(told, truth) - psnr(untold, truth))
        drawn = small_and_blurred(told, 1.2)
        assert float((drawn - small).abs().max()) < 0.03  # seen in the same way, it is the small photo
    assert min(gain) > 2


def test_photos_of_other_kinds_are_sharpened_without_the_class():
    truth = torch.rand(SIDE // 4, SIDE // 4, 3).repeat_interleave(4, 0).repeat_interleave(4, 1)
    small = small_and_blurred(truth, 1.0)
    told = enlarge(face_model(), small, FINE, trusted=False, blur=1.0)
    assert psnr(told, truth) > psnr(enlarge(face_model(), small, FINE, trusted=False), truth) + 1


def test_the_posterior_of_a_blurred_photo_knows_of_the_blur():
    whole = WholeImage.of(whole_of(face_model()))
    (truth,) = faces(1, 9)
    small = small_and_blurred(truth, 1.5)[None]
    told = whole.draw(whole.posterior_small(small, 1.5))
    assert psnr(told, truth) > psnr(whole.draw(whole.posterior_small(small)), truth)


def test_a_field_has_the_precision_that_it_was_learned_with():
    rough = torch.tensor([30.0, 20.0, 4.0, 1.0])
    image = torch.randn(1, 1, 8, 8)
    assert torch.allclose(field_strength(rough) * field(rough)(image), _precise(rough, image), rtol=1e-4, atol=1e-2)
    noise = torch.randn(40, 16, 16) * 0.1
    white = roughness(noise)
    (gain,) = field_strength(white) * field(white)(noise[:1, None]).flatten() @ noise[:1].flatten()[:, None]
    assert 0.5 < float(gain) / noise[0].numel() < 2  # u' P u is about the number of pixels


def _precise(rough: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    kernel = torch.tensor([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])[None, None]
    out, power = torch.zeros_like(image), image
    for c in rough:
        out = out + c * power
        padded = torch.nn.functional.pad(power, (1, 1, 1, 1), mode="replicate")
        power = torch.nn.functional.conv2d(padded, kernel)
    return out


def test_what_is_not_asked_for_teaches_nothing():
    seen, truth = torch.rand(2, 5, 4, 4), torch.rand(2, 3, 4, 4)
    truth[:, :, :2] = torch.nan
    guess = torch.rand(2, 3, 4, 4, requires_grad=True)
    loss = encoder_loss(guess, seen, truth, relative=False)
    assert torch.isclose(loss, (guess - truth)[:, :, 2:].square().mean())
    loss.backward()
    assert guess.grad is not None and guess.grad[:, :, :2].abs().max() == 0 and guess.grad[:, :, 2:].abs().min() > 0


def test_a_first_estimate_leaves_all_of_its_own_error():
    seen, truth = torch.rand(4, 5, 16, 16), torch.rand(4, 3, 16, 16)
    assert abs(float(encoder_loss(seen[:, :3], seen, truth, relative=True)) - 1) < 1e-3
    better = (seen[:, :3] + truth) / 2
    assert abs(float(encoder_loss(better, seen, truth, relative=True)) - 0.25) < 1e-3
