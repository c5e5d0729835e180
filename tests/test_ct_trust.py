"""Whether the dictionary knows such slices is decided by views that were held out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_cases import SIDE, phantom, scan_of, tiny_model
from torch import Tensor

from nidcli import cli
from nidcli.artifacts import Metadata, save_model
from nidcli.ct.geometry import HELD, Geometry
from nidcli.ct.reconstruct import ALONE, Reconstructor, Settings, reconstruct
from nidcli.ct.scanner import Scanner
from nidcli.ct.trust import UNFIT, halves, misfit
from nidcli.ct.views import Viewer
from nidcli.model import Model

VIEWS = 12


def scanner(views: int = VIEWS, size: int = SIDE) -> Scanner:
    return Scanner.of(Geometry(size=size, angles_V=tuple(180 * v / views for v in range(views)), bins=size))


def spoiled() -> Model:
    """A dictionary that sees a bright haze in everything."""
    model = tiny_model()
    assert model.encoder is not None and model.encoder.head.bias is not None
    model.encoder.head.bias.fill_(0.5)
    return model


def viewer(model: Model, pictures: list[np.ndarray], views: int = VIEWS) -> Viewer:
    scan = scanner(views, len(pictures[0]))
    truth_NS = torch.from_numpy(np.stack(pictures)).flatten(1).T.contiguous()
    return Viewer(model, scan, scan.forward(truth_NS), torch.zeros(len(pictures)))


@pytest.fixture
def all_knowing(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """An encoder whose answer is what the list holds: (N, S)."""
    told: list[Tensor] = []
    monkeypatch.setattr(Viewer, "encoded", lambda self, encoder, look, side: told[0][:, : look.agreed_NS.shape[1]])
    return told


def test_some_views_of_a_scanner_are_the_scanner_of_those_views():
    chosen_V = torch.arange(VIEWS) % 3 == 1
    some, whole = scanner().some(chosen_V), scanner()
    picture = torch.from_numpy(phantom(2)).reshape(-1, 1)
    assert some.geometry.angles_V == tuple(whole.geometry.angles_V[1::3])
    rows = whole.forward(picture).view(VIEWS, SIDE)[chosen_V]
    assert torch.equal(some.forward(picture).view(-1, SIDE), rows)
    rays = torch.rand(len(rows) * SIDE, 1)
    assert torch.allclose((some.forward(picture) * rays).sum(), (picture * some.adjoint(rays)).sum(), rtol=1e-5)


def test_the_held_out_views_are_not_shown_and_large_slices_are_judged_small():
    large = scanner(8, 64)
    kept, held = halves(large, 32)
    assert held.geometry.angles_V == tuple(large.geometry.angles_V[HELD // 2 :: HELD])
    assert sorted((*kept.geometry.angles_V, *held.geometry.angles_V)) == list(large.geometry.angles_V)
    assert kept.geometry.size == 32 and kept.geometry.bins == 64
    flat = torch.ones(64 * 64, 1)
    ours = kept.forward(flat.view(64, 64)[::2, ::2].reshape(-1, 1)) * 2  # in pixels of the large slice
    theirs = large.some(torch.arange(8) % HELD != HELD // 2).forward(flat)
    assert float((ours - theirs).norm() / theirs.norm()) < 0.05


def test_views_from_opposite_sides_are_held_out_together():
    turn = Geometry(size=SIDE, angles_V=tuple(18.0 * v for v in range(20)), bins=SIDE)
    held_V = turn.held_out()
    assert torch.equal(held_V[:10], held_V[10:]) and 4 <= int(held_V.sum()) <= 6
    fan = replace(turn, fan=200.0)
    assert int(fan.held_out().sum()) == 5 and not torch.equal(fan.held_out()[:10], fan.held_out()[10:])
    assert not replace(turn, angles_V=(0.0, 45.0, 90.0, 180.0, 225.0)).held_out().any()
    mixed = replace(turn, angles_V=(90.0, 0.0, 135.0, 45.0))
    assert mixed.held_out().tolist() == [True, False, False, False]


def test_a_dictionary_that_misleads_is_left_out(all_knowing: list[Tensor]):
    good, other = phantom(0), phantom(5).T
    scan = viewer(tiny_model(), [good])
    all_knowing.append(torch.from_numpy(np.ascontiguousarray(other)).reshape(-1, 1))
    found_N1, wrong = reconstruct(scan)
    assert float(wrong) > UNFIT
    assert torch.equal(found_N1, scan.plain(ALONE))
    all_knowing[:] = [torch.from_numpy(good).reshape(-1, 1)]
    found_N1, right = reconstruct(scan)
    assert float(right) < 0.8
    assert not torch.equal(found_N1, scan.plain(ALONE))


def test_each_slice_is_judged_by_itself(all_knowing: list[Tensor], monkeypatch: pytest.MonkeyPatch):
    scan = viewer(tiny_model(), [phantom(0), phantom(1)])
    all_knowing.append(
        torch.from_numpy(np.stack([phantom(0), np.random.default_rng(0).random((SIDE, SIDE), np.float32)]))
        .flatten(1)
        .T.contiguous()
    )
    together_NS, misfit_S = reconstruct(scan)
    assert float(misfit_S[0]) < UNFIT < float(misfit_S[1])
    assert torch.equal(together_NS[:, 1:], scan.of(misfit_S > UNFIT).plain(ALONE))
    alone_N1, _ = reconstruct(scan.of(misfit_S <= UNFIT))
    assert torch.allclose(together_NS[:, :1], alone_N1, atol=1e-5)


def test_too_few_views_to_hold_one_out_say_nothing():
    assert misfit(viewer(spoiled(), [phantom(0)], views=HELD - 1)).isnan().all()


def test_the_report_tells_and_a_note_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    import json

    save_model(tmp_path / "haze.nid", spoiled(), Metadata())
    np.save(tmp_path / "scan.npy", scan_of(phantom(0), VIEWS))
    flags = ["scan.npy", "--angles", str(VIEWS), "--dict", "haze.nid", "-o", "slice.npy", "--json"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nid", "ct-recon", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, err = capsys.readouterr()
    (item,) = json.loads(out)["items"]
    assert not left.value.code
    assert item["unfit"] == 1 and item["misfit"] > UNFIT
    assert "unlike those of haze" in err and "total variation alone" in err
    slices = Reconstructor(tiny_model(), Settings())
    rays = torch.from_numpy(np.load(tmp_path / "scan.npy"))
    found = slices.slice(rays, slices.geometry(rays, tuple(180 * v / VIEWS for v in range(VIEWS))))
    assert found.fits == (not found.misfit > UNFIT)
