"""From what a network says to masks and peaks: responses, logits, and a change of resolution.

N expressions of one image; h x w the response's own cells, H x W the image's pixels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from pipeline.evaluation.conventions import Binarise, Convention
from pipeline.metrics import Bools, Ints

Singles = NDArray[np.float32]
Size = tuple[int, int]


def read_responses(
    responses: NDArray[np.floating], *, size: Size, input_size: Size | None, convention: Convention
) -> Singles:
    """Raw responses (N, h, w) as maps (N, H, W) in [0, 1]: rectified, upsampled, over the maximum.

    ``input_size`` is that of the network's input, which the ``tris`` convention passes through
    (None: the response was rectified at the image's size, and that step falls away). A response
    that is nowhere positive gives a map of zeros.
    """
    maps = torch.from_numpy(np.ascontiguousarray(responses, dtype=np.float32))[:, None]
    if convention.through_input:
        if input_size is not None:
            maps = interpolate(maps, input_size, mode="bilinear", align_corners=False).relu()
        maps = interpolate(maps, size, mode="bilinear", align_corners=convention.align_corners)
        maps = maps.relu()
    else:
        maps = interpolate(
            maps.relu(), size, mode="bilinear", align_corners=convention.align_corners
        )
    highest = maps.amax(dim=(2, 3), keepdim=True)
    maps /= torch.where(highest > 0, highest, torch.ones(()))  # zeros stay zeros
    return np.asarray(maps[:, 0].numpy(), dtype=np.float32)


def binarise_maps(maps: Singles, rule: Binarise) -> Bools:
    """Masks of maps or probabilities in [0, 1]: above 0, above a threshold, or above one half."""
    threshold = {"positive": 0.0, "argmax": 0.5}.get(rule, 0.0) if isinstance(rule, str) else rule
    return maps > threshold


def binarise_logits(logits: Singles, rule: Binarise) -> Bools:
    """Masks of a segmentor's logits: above 0, or where the sigmoid exceeds the threshold."""
    if isinstance(rule, str):
        return logits > 0
    return logits > math.log(rule / (1 - rule))


def resize_masks(masks: Bools, size: Size) -> Bools:
    """Masks (N, H, W) at another size, each pixel from the one under its centre, as Pillow does."""
    height, width = masks.shape[1:]
    rows, columns = _nearest(height, size[0]), _nearest(width, size[1])
    return masks[:, rows[:, None], columns[None, :]]


def _nearest(old: int, new: int) -> Ints:
    """The old index of each new one. Centres are summed up step by step, as Pillow does: where one
    falls between two pixels (640 to 480 has many), the rounding of the sum decides."""
    steps = np.full(new, old / new)
    steps[0] /= 2
    return np.cumsum(steps).astype(np.int64).clip(max=old - 1)
