"""Binary masks as COCO run lengths, the form in which every table keeps them."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.safety import InputError

_FIRST, _MORE, _NEGATIVE, _BITS = 48, 0x20, 0x10, 0x1F  # of a letter: "0"; then five bits of a run
_LONGEST = 30  # bits of a run


def rle_encode(mask: np.ndarray) -> bytes:
    """Compressed COCO counts of a bool mask (H, W). TypeError for any other array."""
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise TypeError(f"a mask must be bool (H, W), not {mask.dtype} {mask.shape}")
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts


def rle_decode(counts: bytes, height: int, width: int) -> np.ndarray:
    """The bool mask (height, width) of compressed COCO counts; InputError if they do not fit it.

    pycocotools would leave the pixels that too few runs do not reach uninitialised. As the runs
    must be read to know, they are painted here.
    """
    runs = _runs(counts)
    if not runs or sum(runs) != height * width:
        raise InputError(f"mask: its run lengths do not fill {height} x {width} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(width, height).T)


def rle_area(counts: bytes, height: int, width: int) -> int:
    """Pixels of the mask, without decoding it."""
    return int(coco_mask.area({"counts": counts, "size": [height, width]}))


def _runs(counts: bytes) -> list[int]:
    """Pixels outside and inside in turn; none if the counts are malformed.

    COCO writes a run in letters of five bits, low bits first, and from the fourth run on its
    difference to the run before the last (pycocotools, maskApi.c, rleToString). A loop: up to a
    thousand letters it is faster than arrays are, and the mask of an object has some hundred.
    """
    runs: list[int] = []
    run = shift = 0
    for letter in counts:
        bits = letter - _FIRST
        if not 0 <= bits <= _MORE + _BITS or shift == _LONGEST:
            return []
        run |= (bits & _BITS) << shift
        shift += 5
        if bits & _MORE:
            continue
        if bits & _NEGATIVE:
            run -= 1 << shift
        if len(runs) > 2:
            run += runs[-2]
        if run < 0:
            return []
        runs.append(run)
        run = shift = 0
    return [] if shift else runs
