"""Binary masks as COCO run lengths, the form in which every table keeps them."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.safety import InputError

_MORE, _NEGATIVE, _BITS = 0x20, 0x10, 0x1F  # of a character less 48 ("0"): five bits of a run
_LONGEST = 6  # characters of a run of 30 bits


def rle_encode(mask: np.ndarray) -> bytes:
    """Compressed COCO counts of a bool mask (H, W). TypeError for any other array."""
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise TypeError(f"a mask must be bool (H, W), not {mask.dtype} {mask.shape}")
    counts: bytes = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return counts


def rle_decode(counts: bytes, height: int, width: int) -> np.ndarray:
    """The bool mask (height, width) of compressed COCO counts; InputError if they do not fit it."""
    # pycocotools leaves the pixels that too few runs do not reach uninitialised.
    if not _fills(counts, height * width):
        raise InputError(f"mask: its run lengths do not fill {height} x {width} pixels")
    mask = coco_mask.decode({"counts": counts, "size": [height, width]})
    return np.ascontiguousarray(mask.view(np.bool_))


def rle_area(counts: bytes, height: int, width: int) -> int:
    """Pixels of the mask, without decoding it."""
    return int(coco_mask.area({"counts": counts, "size": [height, width]}))


def _fills(counts: bytes, pixels: int) -> bool:
    """Whether the runs are well-formed and add up to ``pixels``.

    COCO writes a run in characters of five bits, low bits first, and from the fourth run on its
    difference to the run before the last (pycocotools, maskApi.c, rleToString).
    """
    letters = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not letters.size or letters.min() < 0 or letters.max() > _MORE + _BITS:
        return False
    last = np.flatnonzero((letters & _MORE) == 0)
    if not last.size or last[-1] != letters.size - 1:
        return False
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > _LONGEST:
        return False
    place = np.arange(letters.size) - np.repeat(first, length)
    runs = np.add.reduceat((letters & _BITS) << (5 * place), first)
    runs -= np.where(letters[last] & _NEGATIVE, 1 << (5 * length), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return bool(runs.min() >= 0 and runs.sum() == pixels)
