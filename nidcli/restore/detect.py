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

from nidcli.restore.frame import Frame

WIDE, ABOVE = 0.95, 0.085  # of the frame's side: the box, and how far its middle lies above that of the frame
PIXELS, LEAST = 320, 24  # of the photo's shorter side, at most, where faces are sought; of a face's box, at least
SUBJECT = 0.6  # of the largest box: smaller faces are not the photo's subject
GROWS, STEP = 1.2, 1  # from one size of box to the next; pixels at the detector's own size


def detected(photo_HWC: Tensor) -> list[Frame]:
    """Frames of upright faces, largest first; none where there is none, or none that is seen."""
    height, width, _ = photo_HWC.shape
    shrunk = min(1.0, PIXELS / min(width, height))
    size = (max(LEAST, round(shrunk * height)), max(LEAST, round(shrunk * width)))
    small = nn.functional.interpolate(photo_HWC.permute(2, 0, 1)[None], size, mode="area")[0].permute(1, 2, 0)
    image = (255 * small.mean(2, keepdim=True).expand(-1, -1, 3)).round().to(torch.uint8).cpu().numpy()
    most = min(size)
    finder = Cascade(lbp_frontal_face_cascade_filename())
    boxes = finder.detect_multi_scale(
        img=image, scale_factor=GROWS, step_ratio=STEP, min_size=(LEAST, LEAST), max_size=(most, most)
    )
    frames, largest = [], max((box["width"] for box in boxes), default=0)
    for box in sorted(boxes, key=lambda box: -box["width"]):
        if box["width"] < SUBJECT * largest:  # chance finds are small
            continue
        side = box["width"] / WIDE / shrunk
        x, y = ((box[at] + box["width"] / 2) / shrunk for at in ("c", "r"))
        frames.append(Frame(x, y + ABOVE * side, side / 2))
    return frames
