"""The background as a dictionary: the picture of the empty scene, and how its light may change.

Raw experts are the picture times slow cosines (light, shadows of clouds) and slow cosines alone (haze, reflections):
none but the picture has any detail, none can hold a passing person. They are made orthonormal in that order, root mean
square 1 over pixels and channels, and the code of expert i is penalised by a Gaussian around the empty scene's own code
whose precision rises with i,

    precision_i = min(first exp(rate i), last),

bounded, so that it neither overflows nor vanishes, and active for every frame (the paper's equation 15: exp(beta i)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nidcli.codes import SparseCode
from nidcli.dictionary import DictionarySpec
from nidcli.engine import cached
from nidcli.errors import ArtifactError
from nidcli.grid import grid_coords, image_coords, pixel_centres
from nidcli.model import Level, LevelSpec, Model, ModelSpec
from nidcli.operators import Sample
from nidcli.problem import DenseDesign, Problem
from nidcli.solvers import Irls

COSINES = 10  # of each kind: all i + j <= 3
FIRST, RATE, LAST = 0.01, 0.5, 10.0  # of the penalty, for a data term that is the mean over measurements
MEASURED = 1024  # points at which a frame is compared with the experts
MEASURED_BYTES = 128 << 20  # of experts that are measured on a whole frame
ROUNDS, TRIM = 5, 3.5  # of the l1 solver: see solvers/irls.py
DEPENDENT = 0.02  # an expert of which less than this is new beside those before it is left silent
BAND_POINTS = 1 << 17  # points at which the field is evaluated at once
INFO_PIXELS = 256  # samples a side at which `info` looks at the experts


def scene_model(picture_HWC: Tensor) -> Model:
    """The dictionary of a scene whose empty picture is given, floats in 0 ... 1."""
    H, W, C = picture_HWC.shape
    features, experts = (C + 1) * COSINES, 2 * COSINES - 1
    bank = DictionarySpec(
        dims=2, channels=C, experts=experts, hidden=features, embedding="grid", frequencies=features, grid=(H, W)
    )
    level = LevelSpec(dictionary=bank, cells=1, pixels=min(INFO_PIXELS, max(H, W)), overlap=0.0, top_k=experts, basis=0)
    model = Model(ModelSpec(kind="video", levels=(level,))).to(picture_HWC.device).eval().requires_grad_(False)
    bank_module, variance_K = model.level(0).bank(), 1 / penalties(experts)
    linear = bank_module.trunk.maps[0]
    assert isinstance(linear, torch.nn.Linear)
    with torch.no_grad():
        bank_module.trunk.table_CYX.copy_(picture_HWC.permute(2, 0, 1))
        linear.weight.copy_(torch.eye(features))
        linear.bias.zero_()
        bank_module.head_KCF.copy_(_raw_heads(C, experts))
        mix_KK, mean_K = _orthonormal(bank_module.atoms(image_coords(*_reduced(W, H)).to(picture_HWC)))
        bank_module.head_KCF.copy_(torch.einsum("kl,lcf->kcf", mix_KK.to(picture_HWC), bank_module.head_KCF))
        model.level(0).prior_mean_BK.copy_(mean_K[None])
        model.level(0).prior_variance_BK.copy_(variance_K[None])
    return model


def penalties(experts: int) -> Tensor:
    """(K,) precision_i of the module's head."""
    exponent_K = (RATE * torch.arange(experts)).clamp_max(math.log(LAST / FIRST))
    return FIRST * exponent_K.exp()


def _raw_heads(channels: int, experts: int) -> Tensor:
    """(K, C, F): the picture times cosine 0, 1, cosine 1 alone, the picture times cosine 2, cosine 2 alone, ..."""
    head_KCF = torch.zeros(experts, channels, (channels + 1) * COSINES)
    colour = torch.arange(channels)
    for k in range(experts):
        cosine = (k + 1) // 2
        if k % 2 or k == 0:
            head_KCF[k, colour, colour * COSINES + cosine] = 1
        else:
            head_KCF[k, :, channels * COSINES + cosine] = 1
    return head_KCF


def _reduced(width: int, height: int) -> tuple[int, int]:
    """A grid fine enough for inner products: its points are nodes of the picture where that is small."""
    step = max(1, round(math.sqrt(width * height / 2**16)))
    return max(1, width // step), max(1, height // step)


def _orthonormal(atoms_NCK: Tensor) -> tuple[Tensor, Tensor]:
    """(K, K) rows that make the raw experts orthonormal in their order, and (K,) the code of the first raw one.

    Gram-Schmidt on the Gram matrix, in float64; experts that depend on those before them become zero.
    """
    rows_MK = atoms_NCK.flatten(0, 1).double()
    gram_KK = rows_MK.T @ rows_MK / len(rows_MK)
    K = len(gram_KK)
    mix_KK = torch.zeros_like(gram_KK)
    for k in range(K):
        row_K = torch.zeros_like(gram_KK[0])
        row_K[k] = 1
        for _ in range(2):  # the second pass takes out what rounding left
            row_K = row_K - mix_KK.T @ (mix_KK @ (gram_KK @ row_K))
        left = (row_K @ gram_KK @ row_K).clamp_min(0).sqrt()
        if left > DEPENDENT * gram_KK[k, k].sqrt() and left > 1e-6:
            mix_KK[k] = row_K / left
    return mix_KK.float(), (mix_KK @ gram_KK[0]).float()


@dataclass(frozen=True, eq=False)
class Scene:
    """A background, and the noise around it.

    model : of `scene_model`; deviation_HWC : standard deviation of what is not foreground, a pixel and channel.
    """

    model: Model
    deviation_HWC: Tensor


def check_scene(model: Model, name: str) -> None:
    """Raises ArtifactError unless the model is the background of a colour video."""
    spec = model.spec
    if spec.kind != "video" or len(spec.levels) != 1 or spec.levels[0].cells != 1:
        raise ArtifactError(
            f"{name} is a dictionary of kind {spec.kind!r}, no background; learn one with nid learn-dict --kind video."
        )
    bank = spec.levels[0].dictionary
    if (bank.dims, bank.channels) != (2, 3):
        raise ArtifactError(f"{name} has {bank.dims} dims and {bank.channels} channels; a background has 2 and 3.")


def codes(model: Model, frames_THWC: Tensor) -> SparseCode:
    """One code a frame: l1 on a fixed set of pixels, with the penalty above, starting from the empty scene.

    Frames are uint8, or floats in 0 ... 1.
    """
    T, H, W, _ = frames_THWC.shape
    place_N = _places(H * W, frames_THWC.device)
    level = model.level(0)
    sample = partial(_sample, W, H, place_N)
    design = cached(level.bank(), f"places in {W} x {H}".encode(), sample)
    target_MT = frames_THWC.flatten(1, 2)[:, place_N].flatten(1).T
    target_MT = target_MT.float() / 255 if target_MT.dtype == torch.uint8 else target_MT
    prior = level.prior()
    scale = target_MT.shape[0]  # the penalty is written for a mean over measurements
    prior = type(prior)(prior.mean_K, prior.variance_K / scale, prior.factor_KR)
    problem = Problem(design, target_MT, loss="l1", prior=prior)
    return Irls(ROUNDS, TRIM).solve(problem, empty(level, T)).code


def _sample(width: int, height: int, place_N: Tensor) -> Sample:
    return Sample(image_coords(width, height).to(place_N.device)[place_N])


def empty(level: Level, frames: int) -> SparseCode:
    """The code of the scene as it is stored, for a number of frames."""
    mean_K = level.prior_mean_BK[0]
    index_TK = torch.arange(len(mean_K), device=mean_K.device).expand(frames, -1)
    return SparseCode(index_TK, mean_K.expand(frames, -1), mean_K.new_zeros(frames, level.spec.dictionary.channels))


def _places(pixels: int, device: torch.device) -> Tensor:
    """Up to MEASURED pixels, spread by the golden ratio, the same for every frame."""
    if pixels <= MEASURED:
        return torch.arange(pixels, device=device)
    step = torch.arange(MEASURED, dtype=torch.float64, device=device) * 0.6180339887498949
    return ((step % 1) * pixels).long().unique()


def picture(model: Model, width: int, height: int) -> Tensor:
    """(H, W, C): the empty scene as it is stored."""
    return render(model, empty(model.level(0), 1), width, height)[0]


def render(model: Model, code: SparseCode, width: int, height: int) -> Tensor:
    """(T, H, W, C): the background of every frame, from the measured experts where they fit, else band by band."""
    bank, device = model.level(0).bank(), model.level(0).prior_mean_BK.device
    if 4 * width * height * bank.spec.channels * bank.spec.experts > MEASURED_BYTES:
        step = max(1, BAND_POINTS // width)
        bands = [(low, min(low + step, height)) for low in range(0, height, step)]
        return torch.cat([render_rows(model, code, width, height, rows) for rows in bands], 1)
    design = cached(bank, f"{width} x {height}".encode(), lambda: Sample(image_coords(width, height).to(device)))
    assert isinstance(design, DenseDesign)
    drawn_TM = code.dense(bank.spec.experts).T @ design.matrix_MK.T
    drawn_TM.addmm_(code.constant_SC, design.free_MC.T)
    return drawn_TM.view(len(code), height, width, -1)


def render_rows(model: Model, code: SparseCode, width: int, height: int, rows: tuple[int, int]) -> Tensor:
    """(T, Y, W, C): rows of it, from rows[0] up to rows[1]."""
    bank, device = model.level(0).bank(), model.level(0).prior_mean_BK.device
    coords_ND = grid_coords(pixel_centres(width), pixel_centres(height)[rows[0] : rows[1]]).to(device)
    field_TNC = bank.field(coords_ND, code).permute(2, 0, 1)
    return field_TNC.reshape(len(code), rows[1] - rows[0], width, -1)


def change2(code: SparseCode, mean_K: Tensor) -> Tensor:
    """(K,) float64: how far the codes of some frames are from that of the empty scene, sums of squares."""
    return (code.dense(len(mean_K)).T - mean_K).double().square().sum(0).cpu()


def rank(change2_K: Tensor, frames: int, least: float = 0.5 / 255) -> int:
    """How many experts carry the background of a clip, from the sum of `change2` over its frames.

    The picture itself, and those that differ from the empty scene by half a grey level or more, root mean square.
    """
    return 1 + int(((change2_K[1:] / frames).sqrt() >= least).sum())
