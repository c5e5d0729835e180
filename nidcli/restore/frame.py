"""Where the class's own picture lies in a photo: a square, turned and scaled, and the way there and back.

A frame maps u in [-1, 1]^2, x right and y down, to the photo: x = centre + half (cos -sin; sin cos) u, in pixels, with
the centre of pixel i at i + 1/2. By default it is the middle square of the photo, as photos are cut for learning.

Letters: B photos, H, W pixels of the photo, n pixels a side of the frame, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nidcli.grid import grid_coords, image_coords, pixel_centres

FINEST = 8  # points along a side of a pixel, at most, where one sampling is coarser than the other
FADE = 0.2  # of a half side, beyond the frame: what it says fades


@dataclass(frozen=True)
class Frame:
    """centre x, y and half a side, in pixels of the photo; angle in radians, clockwise as one sees it."""

    x: float
    y: float
    half: float
    angle: float = 0.0

    @staticmethod
    def middle(width: int, height: int) -> Frame:
        """The middle square of a photo."""
        return Frame(width / 2, height / 2, min(width, height) / 2)

    def to_photo(self, coords_ND: Tensor) -> Tensor:
        """(N, 2) in [-1, 1] -> pixels of the photo."""
        cos, sin = math.cos(self.angle) * self.half, math.sin(self.angle) * self.half
        turn = coords_ND.new_tensor([[cos, sin], [-sin, cos]])
        return coords_ND @ turn + coords_ND.new_tensor([self.x, self.y])

    def from_photo(self, pixels_ND: Tensor) -> Tensor:
        """(N, 2) pixels of the photo -> [-1, 1]."""
        cos, sin = math.cos(self.angle) / self.half, math.sin(self.angle) / self.half
        turn = pixels_ND.new_tensor([[cos, -sin], [sin, cos]])
        return (pixels_ND - pixels_ND.new_tensor([self.x, self.y])) @ turn

    def covers(self, width: int, height: int) -> bool:
        """Whether the whole photo lies in the frame."""
        corners = torch.tensor([[0.0, 0.0], [width, 0], [0, height], [width, height]])
        return bool((self.from_photo(corners).abs() <= 1 + 1e-6).all())


def cut(frame: Frame, photo_BHWC: Tensor, known_BHW: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The frame's part of photos: (B, n, n, C) means of known pixels, and (B, n, n) how much of each is known."""
    B, height, width, _ = photo_BHWC.shape
    points = min(FINEST, max(1, math.ceil(2 * frame.half / side - 0.01)))
    known = known_BHW.to(photo_BHWC)[..., None]
    both = torch.cat([photo_BHWC * known, known], 3).permute(0, 3, 1, 2)
    coords = frame.to_photo(image_coords(side * points, side * points).to(photo_BHWC))
    unit = (coords / coords.new_tensor([width, height]) * 2 - 1).view(1, side * points, side * points, 2)
    inside = (unit.abs() <= 1).all(3).to(both)[:, None]
    sampled = nn.functional.grid_sample(both, unit.expand(B, -1, -1, -1), padding_mode="border", align_corners=False)
    means = nn.functional.avg_pool2d(sampled * inside, points)
    share = means[:, -1]
    return (means[:, :-1] / share[:, None].clamp_min(1e-6)).permute(0, 2, 3, 1), share


def back(frame: Frame, drawn_BNNC: Tensor, width: int, height: int) -> Tensor:
    """(B, H, W, C): what is drawn in the frame, at the photo's pixels; beyond the frame its border is repeated."""
    B, side = drawn_BNNC.shape[:2]
    points = min(FINEST, max(1, math.ceil(side / (2 * frame.half) - 0.01)))
    centres = [pixel_centres(n * points).to(drawn_BNNC) for n in (width, height)]
    pixels = (grid_coords(*centres) + 1) / 2 * drawn_BNNC.new_tensor([width, height])
    unit = frame.from_photo(pixels).view(1, height * points, width * points, 2).expand(B, -1, -1, -1)
    images = drawn_BNNC.permute(0, 3, 1, 2)
    sampled = nn.functional.grid_sample(images, unit, mode="bicubic", padding_mode="border", align_corners=False)
    return nn.functional.avg_pool2d(sampled, points).permute(0, 2, 3, 1)


def within(frame: Frame, width: int, height: int, device: torch.device) -> Tensor:
    """(H, W) how much the frame has a say at a photo's pixels: 1 inside, fading outside."""
    centres = [pixel_centres(n).to(device) for n in (width, height)]
    pixels = (grid_coords(*centres) + 1) / 2 * torch.tensor([width, height], device=device)
    beyond = (frame.from_photo(pixels).abs().amax(1) - 1) / FADE
    return (1 - beyond).clamp(0, 1).view(height, width)
