"""Boxes of a truth and of a predicted mask, and BoxAcc as TRIS computes it (its box_eval_utils.py).

TRIS colours the binary mask, turns it grey, traces its contours with OpenCV and filters their
bounding boxes. On a binary mask the colouring changes nothing but a factor, and the contours are
the outlines of the 8-connected parts and of the holes in them; so both are found here by labelling.
Kept as published: the overlap filter reads (x, y, width, height) as if it were (x1, y1, x2, y2),
and a mask that is all or nothing has no box. Boxes without a name are (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pipeline.metrics import Bools, Ints

Singles = NDArray[np.float32]

OVERLAP_LIMIT = 0.05  # TRIS: IoU above which the lower-scored of two boxes is dropped
SCORE_SHARE = 0.5  # TRIS: boxes at or below this share of the best score are dropped
BOX_IOU = 0.5  # BoxAcc needs more than this
_EIGHT = np.ones((3, 3), dtype=np.int8)
_AROUND = np.array([-1, -1, 2, 2])


def truth_boxes(x: ArrayLike, y: ArrayLike, width: ArrayLike, height: ArrayLike) -> Ints:
    """COCO boxes as TRIS reads them: (N, 4), each number cut to an integer before it is added."""
    left, top, wide, high = (
        np.atleast_1d(np.asarray(value)).astype(np.int64) for value in (x, y, width, height)
    )
    return np.stack([left, top, left + wide, top + high], axis=1)


def box_iou(boxes: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """IoU (K,) of boxes (K, 4) with one box (4,), areas as (x2 - x1) * (y2 - y1)."""
    many, one = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(other, np.float64)
    sides = np.minimum(many[:, 2:], one[2:]) - np.maximum(many[:, :2], one[:2])
    inside = sides.clip(0).prod(axis=1)
    union = (many[:, 2:] - many[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod() - inside
    return np.divide(inside, union, out=np.zeros(len(many)), where=union > 0)


def contour_boxes(mask: Bools) -> Ints:
    """(K, 4) x, y, width, height of every outline of a mask (H, W): its parts, and their holes.

    The outline of a hole runs through the pixels around it, so its box is one pixel wider on each
    side. Of either kind the lowest come first, as OpenCV lists them; the order only decides ties.
    """
    around = _around(mask)
    if around is None:
        return np.zeros((0, 4), dtype=np.int64)
    left, top, right, bottom = around
    # The mask's own box is all that has to be searched, and mostly a small part of the image.
    padded = np.zeros((bottom - top + 2, right - left + 2), dtype=np.bool_)
    padded[1:-1, 1:-1] = mask[top:bottom, left:right]
    parts, count = ndimage.label(padded, structure=_EIGHT)
    boxes = _boxes_of(parts)
    gaps = ~padded
    # Euler's number of the rest of the plane is 1 (the outside) + holes - parts: far cheaper to
    # count than to label, and most masks have no hole.
    if _euler_number(gaps) > 1 - count:
        holes, _ = ndimage.label(gaps)
        holes[holes == holes[0, 0]] = 0  # the outside is no hole
        boxes = np.concatenate([boxes, _boxes_of(holes) + _AROUND])
    return boxes + np.array([left - 1, top - 1, 0, 0])


def _around(mask: Bools) -> tuple[int, int, int, int] | None:
    """The box x1, y1, x2, y2 around all pixels of a mask, or None of an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _boxes_of(labels: NDArray[np.int32]) -> Ints:
    places = [place for place in ndimage.find_objects(labels) if place is not None]
    return np.array(
        [(c.start, r.start, c.stop - c.start, r.stop - r.start) for r, c in reversed(places)],
        dtype=np.int64,
    ).reshape(-1, 4)


def _euler_number(mask: Bools) -> int:
    """4-connected parts minus their holes: pixels - neighbouring pairs + full 2 x 2 blocks."""
    across, down = mask[:, 1:] & mask[:, :-1], mask[1:] & mask[:-1]
    blocks = across[1:] & across[:-1]
    pixels, pairs, others, full = (
        int(np.count_nonzero(found)) for found in (mask, across, down, blocks)
    )
    return pixels - pairs - others + full


def _suppress(boxes: Singles, scores: Singles) -> Ints:
    """Indices that survive non-maximum suppression, best first, in single precision.

    Areas may be negative or zero here, since sides are taken for corners; IoU is then whatever the
    division gives, and NaN suppresses nothing.
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(boxes), dtype=np.bool_)
    kept = []
    for place, best in enumerate(order):
        if not alive[best]:
            continue
        kept.append(int(best))
        rest = order[place + 1 :]
        wide = np.minimum(x2[rest], x2[best]) - np.maximum(x1[rest], x1[best])
        high = np.minimum(y2[rest], y2[best]) - np.maximum(y1[rest], y1[best])
        inside = wide.clip(0) * high.clip(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = inside / (area[best] + area[rest] - inside)
        # Against the limit in double precision: a float32 of 0.05 exceeds it.
        alive[rest[iou.astype(np.float64) > OVERLAP_LIMIT]] = False
    return np.array(kept, dtype=np.int64)


def mask_boxes(mask: Bools) -> Ints:
    """(K, 4) boxes that TRIS draws from a predicted mask (H, W), the fullest first."""
    return _kept(mask, contour_boxes(mask))


def _kept(mask: Bools, boxes: Ints) -> Ints:
    """Of the contours' boxes (x, y, width, height) those that TRIS keeps."""
    if mask.all() or not len(boxes):
        return np.zeros((0, 4), dtype=np.int64)
    x, y, width, height = boxes.T
    x2, y2 = x + width, y + height
    corners = zip(x.tolist(), y.tolist(), x2.tolist(), y2.tolist(), strict=True)
    filled = np.array([np.count_nonzero(mask[b:d, a:c]) for a, b, c, d in corners])
    scores = filled / (width * height)
    kept = _suppress(boxes.astype(np.float32), scores.astype(np.float32))
    kept = kept[scores[kept] > SCORE_SHARE * scores.max()]
    return np.stack([x, y, x2, y2], axis=1)[kept]


def box_accurate(mask: Bools, truth: ArrayLike) -> bool:
    """BoxAcc of one expression: has any box of the mask IoU > 0.5 with the truth's box (4,)?"""
    boxes = contour_boxes(mask)
    candidates = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    if not (box_iou(candidates, truth) > BOX_IOU).any():
        return False  # whatever is kept of them
    return bool((box_iou(_kept(mask, boxes), truth) > BOX_IOU).any())
