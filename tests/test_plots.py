"""Curves as pictures: higher is higher, later is further right, and every curve has an ink of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nidcli.errors import OutputError
from nidcli.files.images import read_image
from nidcli.files.plots import HEIGHT, INKS, WIDTH, Curve, _ticks, draw_plot


def inked(picture: np.ndarray, number: int) -> np.ndarray:
    """(n, 2) rows and columns of the pixels that have an ink."""
    return np.argwhere((picture == INKS[number]).all(2))


def test_a_rising_curve_rises_to_the_right(tmp_path: Path):
    draw_plot(tmp_path / "a.png", [Curve("up", ((0, 1), (5, 2), (10, 9)))], "seconds")
    places = inked(read_image(tmp_path / "a.png").pixels, 0)
    left, right = places[places[:, 1].argmin()], places[places[:, 1].argmax()]
    assert right[0] < left[0] - HEIGHT / 3 and right[1] > left[1] + WIDTH / 3


def test_panels_lie_below_one_another_and_curves_of_one_share_it(tmp_path: Path):
    lines = [Curve("a", ((0, 1), (1, 2)), "both"), Curve("b", ((0, 2), (1, 3)), "both"), Curve("c", ((0, 0), (1, 1)))]
    draw_plot(tmp_path / "a.png", lines, "s")
    picture = read_image(tmp_path / "a.png").pixels
    assert picture.shape == (2 * HEIGHT, WIDTH, 3)
    assert len(inked(picture[:HEIGHT], 0)) and len(inked(picture[:HEIGHT], 1))
    assert len(inked(picture[HEIGHT:], 0)) and not len(inked(picture[HEIGHT:], 1))


def test_a_single_point_and_many_labels_can_be_drawn(tmp_path: Path):
    draw_plot(tmp_path / "a.png", [Curve("one", ((3, 3),))], "s")
    many = [Curve(f"curve {number}", ((0, number), (1, number + 1)), "all") for number in range(20)]
    draw_plot(tmp_path / "b.png", many, "s")
    assert read_image(tmp_path / "b.png").height > HEIGHT


def test_ticks_are_round_and_inside():
    assert _ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert _ticks(9.7, 24.1) == [10, 15, 20]
    assert all(0.013 <= tick <= 0.021 for tick in _ticks(0.013, 0.021)) and len(_ticks(0.013, 0.021)) >= 3


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path):
    with pytest.raises(OutputError):
        draw_plot(tmp_path / "none" / "a.png", [Curve("one", ((3, 3),))], "s")
