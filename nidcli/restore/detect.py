"""Faces in a photo, by a detector that comes with scikit-image: where to begin to look for the frame.

A cascade of boosted classifiers on local binary patterns (Viola & Jones 2001; Liao et al. 2007), learned from frontal
faces; its file is part of scikit-image, under the licence of OpenCV (BSD). What it finds is a box about a face, in a
fixed place of the class's own picture, since its photos are aligned.
"""

from __future__ import annotations

import torch
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade
from torch import Tensor, nn

from nidcli.restore.frame import Frame, cut

WIDE, ABOVE = 0.95, 0.085  # of the frame's side: the box, and how far its middle lies above that of the frame
PIXELS, LEAST = 320, 24  # of the photo's shorter side, at most, where faces are sought; of a face's box, at least
SUBJECT = 0.6  # of the largest box: smaller faces are not the photo's subject
SEEN = 32  # samples a side of a frame, by which it is told how much of it is covered
GROWS, STEP = 1.2, 1  # from one size of box to the next; pixels at the detector's own size
AGREE = 4  # boxes about a face, of sizes and places nearby, before it counts
FAINTLY = (1.2, 1.1)  # where a face is sought that is partly covered: one box will do, and more sizes are tried
DARK = (1.0, 0.6, 0.3)  # and what covers it is taken for shadows as well, as those of eyes
COVERED = (0.03, 0.6)  # share of a frame that is


def detected(photo_HWC: Tensor) -> list[Frame]:
    """Frames of upright faces, largest first; none where there is none, or none that is seen."""
    return _subjects(_boxes(photo_HWC, GROWS, AGREE))


def covered(photo_HWC: Tensor, bare_HW: Tensor) -> list[Frame]:
    """The same where faces may be partly covered, and only such: many are chance finds."""
    if bool(bare_HW.all()):
        return []
    found = []
    for dark in DARK:
        shaded = torch.where(bare_HW[..., None], photo_HWC, dark * photo_HWC)
        for grows in FAINTLY:
            found += _boxes(shaded, grows, 1)
    least, most = COVERED
    shares = [1 - float(cut(frame, photo_HWC[None], bare_HW[None], SEEN)[1].mean()) for frame in found]
    return _subjects([frame for frame, share in zip(found, shares, strict=True) if least < share < most])


def _boxes(photo_HWC: Tensor, grows: float, agree: int) -> list[Frame]:
    height, width, _ = photo_HWC.shape
    shrunk = min(1.0, PIXELS / min(width, height))
    size = (max(LEAST, round(shrunk * height)), max(LEAST, round(shrunk * width)))
    small = nn.functional.interpolate(photo_HWC.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
    image = (255 * small.mean(2, keepdim=True).expand(-1, -1, 3)).round().to(torch.uint8).cpu().numpy()
    finder = Cascade(lbp_frontal_face_cascade_filename())
    boxes = finder.detect_multi_scale(
        img=image,
        scale_factor=grows,
        step_ratio=STEP,
        min_size=(LEAST, LEAST),
        max_size=(min(size), min(size)),
        min_neighbor_number=agree,
    )
    frames = []
    for box in boxes:
        side = box["width"] / WIDE / shrunk
        x, y = ((box[at] + box["width"] / 2) / shrunk for at in ("c", "r"))
        frames.append(Frame(x, y + ABOVE * side, side / 2))
    return frames


def _subjects(frames: list[Frame]) -> list[Frame]:
    """Largest first, without those that are too small to be what the photo is about: chance finds are small."""
    frames = sorted(frames, key=lambda frame: -frame.half)
    return [frame for frame in frames if frame.half >= SUBJECT * frames[0].half]
