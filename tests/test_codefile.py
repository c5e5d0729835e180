"""`.nidc` files: every code comes back slot by slot, and an inconsistent one is refused though its sums fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nidcli import container
from nidcli.codefile import DictionaryRef, Source, load_codes, save_codes
from nidcli.codes import ImageCode, LevelCode, SparseCode
from nidcli.errors import ArtifactError, OutputError
from standins import REF, REF_4096, small_code, write_small


@st.composite
def codes(draw: st.DrawFn) -> tuple[ImageCode, tuple[int, ...]]:
    """Codes of one to three levels of any shape, with empty slots anywhere, and the experts of each level."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    levels, experts = [], []
    for _ in range(draw(st.integers(1, 3))):
        nx, ny, slots = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(0, 6))
        K, C = draw(st.sampled_from([1, 3, 256, 65536, 65537, 2**31])), draw(st.integers(0, 4))
        index_SJ = torch.randint(0, K, (nx * ny, slots), generator=generator)
        value_SJ = torch.randn(nx * ny, slots, generator=generator)
        value_SJ *= torch.rand(nx * ny, slots, generator=generator) < draw(st.sampled_from([0.0, 0.5, 1.0]))
        constant_SC = torch.randn(nx * ny, C, generator=generator)
        levels.append(LevelCode((nx, ny), SparseCode(index_SJ, value_SJ, constant_SC)))
        experts.append(K)
    sides = st.integers(1, 70_000)
    return ImageCode(draw(sides), draw(sides), draw(sides), tuple(levels)), tuple(experts)


def slots_of(code: SparseCode) -> list[list[tuple[int, float]]]:
    rows = zip(code.index_SJ.tolist(), code.value_SJ.tolist(), strict=True)
    return [[(k, a) for k, a in zip(*row, strict=True) if a] for row in rows]


def assert_same(back: ImageCode, code: ImageCode, half: bool) -> None:
    assert (back.width, back.height, back.pitch) == (code.width, code.height, code.pitch)
    for after, before in zip(back.levels, code.levels, strict=True):
        rounded = before.code.value_SJ.half().float() if half else before.code.value_SJ
        assert after.cells == before.cells
        assert slots_of(after.code) == slots_of(replace(before.code, value_SJ=rounded))
        assert torch.equal(after.code.constant_SC, before.code.constant_SC)
        assert after.code.value_SJ.dtype == torch.float32
        assert after.code.index_SJ.dtype == torch.int64


@given(codes(), st.booleans(), st.sampled_from([Source(), Source(16, 4)]))
def test_codes_come_back_slot_by_slot(
    tmp_path: Path, drawn: tuple[ImageCode, tuple[int, ...]], half: bool, source: Source
):
    code, experts = drawn
    dictionary = DictionaryRef("face", "0f" * 32, experts)
    save_codes(tmp_path / "a.nidc", code, dictionary, source, half=half)
    file = load_codes(tmp_path / "a.nidc")
    assert_same(file.code, code, half)
    assert (file.dictionary, file.source) == (dictionary, source)
    assert file.size == (tmp_path / "a.nidc").stat().st_size
    assert half or file.code.coefficients == code.coefficients


def test_a_level_that_float16_cannot_hold_keeps_float32(tmp_path: Path):
    code = small_code()
    sparse = replace(code.levels[0].code, value_SJ=code.levels[0].code.value_SJ * 1e6)
    large = replace(code, levels=(LevelCode((2, 1), sparse),))
    save_codes(tmp_path / "a.nidc", large, REF, Source(), half=True)
    assert_same(load_codes(tmp_path / "a.nidc").code, large, half=False)


def test_codes_take_a_few_bytes_a_coefficient(tmp_path: Path):
    code = SparseCode(torch.arange(256).repeat(64, 1), torch.ones(64, 256), torch.zeros(64, 3))
    save_codes(tmp_path / "a.nidc", ImageCode(128, 128, 16, (LevelCode((8, 8), code),)), REF_4096, Source())
    assert (tmp_path / "a.nidc").stat().st_size < 64 * (256 * 4 + 4 + 3 * 4) + 1200


def test_a_code_that_no_file_may_hold_is_refused(tmp_path: Path):
    code = small_code().levels[0].code
    for bad, error in (
        (replace(code, value_SJ=code.value_SJ * float("nan")), OutputError),
        (replace(code, constant_SC=code.constant_SC / 0), OutputError),
        (replace(code, index_SJ=code.index_SJ + 1), ValueError),
        (replace(code, index_SJ=code.index_SJ - 1), ValueError),
        (code[:1], ValueError),
    ):
        with pytest.raises(error):
            save_codes(tmp_path / "a.nidc", ImageCode(32, 16, 16, (LevelCode((2, 1), bad),)), REF, Source())
    assert list(tmp_path.iterdir()) == []


def reseal(path: Path, **changed: np.ndarray | None) -> None:
    """Write the file again with other tensors, and sums that fit."""
    sealed = container.read_sealed(path, "codes")
    tensors = {**sealed.tensors, **{f"level0.{name}": array for name, array in changed.items()}}
    kept = {name: array for name, array in tensors.items() if array is not None}
    container.write_sealed(path, "codes", sealed.document, kept)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"index": np.array([0, 6, 0], np.uint16)}, "beyond the 6"),
        ({"count": np.array([2, 2], np.uint32)}, "do not add up"),
        ({"count": np.array([3, 0, 0], np.uint32)}, "not as many signals"),
        ({"count": np.array([2, 1], np.uint8)}, "another type"),
        ({"value": np.array([1, np.nan, 1], np.float16)}, "not a finite number"),
        ({"value": np.array([1, 0, 1], np.float32)}, "not a finite number other than zero"),
        ({"value": np.array([1, 2], np.float32)}, "do not add up"),
        ({"value": np.array([1, 1, 1], np.float64)}, "another type"),
        ({"index": np.array([0, 1, 0], np.int64)}, "another type"),
        ({"constant": np.full((2, 1), np.inf, np.float32)}, "not a finite number"),
        ({"constant": np.zeros((2,), np.float32)}, "another type"),
        ({"constant": np.zeros((3, 1), np.float32)}, "not as many signals"),
        ({"constant": None}, "other tensors"),
        ({"more": np.zeros(1, np.float32)}, "other tensors"),
    ],
)
def test_an_inconsistent_code_is_refused_though_its_sums_fit(tmp_path: Path, changed: dict[str, Any], reason: str):
    path = tmp_path / "a.nidc"
    write_small(path)
    reseal(path)
    load_codes(path)
    reseal(path, **changed)
    with pytest.raises(ArtifactError, match=reason) as caught:
        load_codes(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("changed", [{"width": 0}, {"cells": [[2, 0]]}, {"cells": [[2, 1], [1, 1]]}, {"pitch": "16"}])
def test_an_impossible_layout_is_refused(tmp_path: Path, changed: dict[str, Any]):
    write_small(tmp_path / "a.nidc")
    sealed = container.read_sealed(tmp_path / "a.nidc", "codes")
    container.write_sealed(tmp_path / "b.nidc", "codes", {**sealed.document, **changed}, sealed.tensors)
    with pytest.raises(ArtifactError, match=r"b\.nidc"):
        load_codes(tmp_path / "b.nidc")
