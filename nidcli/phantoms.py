"""Synthetic slices: random heads after Shepp and Logan (1974), in the modified intensities of Toft (1996).

The skull is the first two ellipses, the second cut out of the first: they vary together, so that every head has one.
Row 0 is the top of the head, x runs right and y up; values are attenuation in 0 ... 1.
"""

from __future__ import annotations

import numpy as np

SAMPLES = 3  # a side of a pixel
SKULL = 2  # ellipses

# intensity, half axes, centre and angle in degrees of the ten ellipses
ELLIPSES = np.array(
    [
        (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
        (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
        (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
        (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
        (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
        (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
        (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
        (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
        (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
        (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
    ]
)


def shepp_logan(size: int) -> np.ndarray:
    """The phantom itself, (size, size) float32."""
    return drawn(ELLIPSES, size)


def random_phantom(seed: int, number: int, size: int) -> np.ndarray:
    """Phantom `number` of a seed, (size, size) float32: what is in the head has chance intensities, axes, places and
    angles, the skull chance axes.

    Standard deviations: intensity 20 %, axes 10 %, centre 0.05, angle 20 degrees; of the whole head 0.03 and 10
    degrees. Equal at every size.
    """
    chance = np.random.default_rng((seed, number))
    ellipses = ELLIPSES.copy()
    inside = ellipses[SKULL:]
    count = len(inside)
    ellipses[:SKULL, 1:3] *= 1 + 0.1 * chance.standard_normal(2)
    inside[:, 0] *= 1 + 0.2 * chance.standard_normal(count)
    inside[:, 1:3] *= 1 + 0.1 * chance.standard_normal((count, 2))
    inside[:, 3:5] += 0.05 * chance.standard_normal((count, 2))
    inside[:, 5] += 20 * chance.standard_normal(count)
    return drawn(ellipses, size, 0.03 * chance.standard_normal(2), 10 * chance.standard_normal())


def drawn(
    ellipses: np.ndarray, size: int, shift: np.ndarray | tuple[float, float] = (0.0, 0.0), turn: float = 0.0
) -> np.ndarray:
    """A sum of ellipses, (E, 6) rows of intensity, half axes, centre and degrees, averaged over each pixel.

    The whole is turned by `turn` degrees and shifted; the result (size, size) float32 is kept in 0 ... 1.
    """
    side = SAMPLES * size
    place = (2 * np.arange(side) + 1) / side - 1
    x, y = place[None] - shift[0], -place[:, None] - shift[1]
    angle = np.deg2rad(turn)
    x, y = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    total = np.zeros((side, side), np.float32)
    for intensity, a, b, cx, cy, degrees in ellipses:
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        along, across = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        total[(along / a) ** 2 + (across / b) ** 2 <= 1] += intensity
    means: np.ndarray = total.reshape(size, SAMPLES, size, SAMPLES).mean((1, 3))
    return np.clip(means, 0, 1)
