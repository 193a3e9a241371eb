"""Proposals by Segment Anything: whatever it finds by prompts on a grid, filtered as PCNet does."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.proposals.filtering import choose_distinct

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


class MaskGenerator(Protocol):
    """What finds masks, see `encoders.sam.SamEverything`."""

    def masks(self, image: Pixels) -> tuple[NDArray[np.bool_], NDArray[np.float32]]: ...


def propose_by_sam(
    image: Pixels,
    *,
    sam: MaskGenerator,
    minimum_area: int,
    maximum_overlap: float,
    keep: int,
) -> list[tuple[Mask, float]]:
    """Masks (H, W) with the IoU that SAM predicts of them, largest first, possibly none.

    Args:
        image: (H, W, 3) uint8 RGB, encoded once.
        sam: with the generator's own thresholds (PCNet: 8 points a side, 0.7, 0.7).
        minimum_area: masks of fewer pixels are dropped (PCNet: 1000 of its images).
        maximum_overlap: of two masks with a higher IoU that of the lower score is dropped (0.8).
        keep: the largest remain, at most so many (PCNet's P = 40).
    """
    masks, scores = sam.masks(image)
    kept = choose_distinct(
        masks.reshape(len(masks), image.shape[0] * image.shape[1]),
        np.ones(image.shape[0] * image.shape[1], dtype=np.int64),
        scores,
        minimum_area=minimum_area,
        maximum_overlap=maximum_overlap,
        keep=keep,
        prefer="area",
    )
    return [(masks[place], float(scores[place])) for place in kept]
