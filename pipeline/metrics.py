"""Measures of one expression, and the ratios of sums that they are averaged into.

N expressions of one image, H x W pixels. Areas are pixel counts, points are (x, y) pixel indices,
boxes are (x1, y1, x2, y2) in pixels, and every average is in percent. What the published evaluators
disagree on is an argument here; ``pipeline.evaluation.conventions`` names their choices.

An average is a :class:`Ratio`, ``100 * sum(numerator) / sum(denominator)`` over expressions. That
one form holds for means (denominator 1), for oIoU (intersections over unions) and for means of
means, and it is what lets the bootstrap resample all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
EmptyUnion = Literal["one", "zero", "epsilon"]

PRECISIONS: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
GENERALISED_PRECISIONS: tuple[float, ...] = (0.7, 0.8, 0.9)  # ReLA's, over targeted expressions
UNION_EPSILON = 1e-6  # CRIS divides by the union plus this


# -- one expression --------------------------------------------------------------------------------


def overlaps(predictions: Bools, truths: Bools) -> tuple[Ints, Ints]:
    """Intersections and unions in pixels, (N,) each, of masks (N, H, W) taken pair by pair."""
    if predictions.shape != truths.shape:
        raise ValueError(f"masks of different shapes: {predictions.shape} and {truths.shape}")
    both = np.array([np.count_nonzero(p & t) for p, t in zip(predictions, truths, strict=True)])
    sizes = areas(predictions) + areas(truths)
    return both.astype(np.int64), sizes - both.astype(np.int64)


def areas(masks: Bools) -> Ints:
    """Pixels (N,) of masks (N, H, W)."""
    return np.array([np.count_nonzero(mask) for mask in masks], dtype=np.int64)


def intersection_over_union(
    intersection: ArrayLike, union: ArrayLike, *, empty_union: EmptyUnion
) -> Floats:
    """IoU in [0, 1], elementwise.

    ``empty_union``: nothing predicted where nothing is meant counts as ``one`` or as ``zero``;
    ``epsilon`` adds 1e-6 to every union instead (CRIS), which makes it zero too.
    """
    overlap, total = np.broadcast_arrays(
        np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    )
    if empty_union == "epsilon":
        return overlap / (total + UNION_EPSILON)
    if empty_union not in ("one", "zero"):
        raise ValueError(f"empty_union must be one, zero or epsilon, not {empty_union!r}")
    iou = np.full(total.shape, 1.0 if empty_union == "one" else 0.0)
    return np.divide(overlap, total, out=iou, where=total > 0)


def peaks(maps: NDArray[np.floating]) -> Ints:
    """(N, 2) x, y of the largest value of each map (N, H, W); of ties the first, row by row."""
    flat = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.stack([flat % maps.shape[2], flat // maps.shape[2]], axis=1).astype(np.int64)


def points_in_masks(points: Ints, masks: Bools) -> Bools:
    """PointM: is the mask (N, H, W) set at the point (N, 2)? A point off the image is not."""
    height, width = masks.shape[1:]
    x, y = points[:, 0], points[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found = masks[np.arange(len(masks)), y.clip(0, height - 1), x.clip(0, width - 1)]
    return np.asarray(found & inside, dtype=np.bool_)


def points_in_boxes(points: Ints, boxes: Ints) -> Bools:
    """PointIt (TRIS's hit): is the point (N, 2) in the box (N, 4), borders included?"""
    x, y = points[:, 0], points[:, 1]
    return np.asarray(
        (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3]),
        dtype=np.bool_,
    )


# -- averages --------------------------------------------------------------------------------------


class Ratio(NamedTuple):
    """A ratio of sums over expressions: two float64 arrays (N,), one entry an expression."""

    numerator: Floats
    denominator: Floats

    def percent(self) -> float:
        """The value in percent; NaN where the denominator is zero (nothing to average)."""
        total = float(self.denominator.sum())
        return 100.0 * float(self.numerator.sum()) / total if total else float("nan")


def mean(values: ArrayLike) -> Ratio:
    """Mean over the expressions for which there is a value (not NaN): mIoU, PointM, BoxAcc ..."""
    values = np.asarray(values, np.float64)
    counted = ~np.isnan(values)
    return Ratio(np.where(counted, values, 0.0), counted.astype(np.float64))


def overall_iou(intersection: ArrayLike, union: ArrayLike) -> Ratio:
    """oIoU, also called cIoU: all intersections over all unions; large objects weigh more."""
    overlap, total = np.asarray(intersection, np.float64), np.asarray(union, np.float64)
    counted = ~(np.isnan(overlap) | np.isnan(total))
    return Ratio(np.where(counted, overlap, 0.0), np.where(counted, total, 0.0))


def precision_at(iou: ArrayLike, threshold: float, *, strict: bool) -> Ratio:
    """P@X: share of expressions with IoU ``>`` (strict) or ``>=`` X; NaN is not counted."""
    iou = np.asarray(iou, np.float64)
    reached = iou > threshold if strict else iou >= threshold
    return mean(np.where(np.isnan(iou), np.nan, reached))


def mean_of_means(values: ArrayLike, groups: ArrayLike) -> Ratio:
    """Each group's mean counts once: ImgAcc with image keys, InstAcc with referent keys.

    Prompt-RIS. ``groups`` (N,) are any comparable keys; NaN values are not counted.
    """
    values = np.asarray(values, np.float64)
    counted = ~np.isnan(values)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(index, weights=counted)[index]
    weights = np.divide(counted, sizes, out=np.zeros(len(values)), where=counted)
    return Ratio(np.where(counted, values, 0.0) * weights, weights)


# -- generalised expressions (no, one or several targets) ------------------------------------------


def generalised(
    intersection: ArrayLike,
    union: ArrayLike,
    targeted: Bools,
    said_none: Bools,
    *,
    strict: bool,
    thresholds: Sequence[float] = GENERALISED_PRECISIONS,
) -> dict[str, Ratio]:
    """gIoU, cIoU, N-acc, T-acc and Pr@X as ReLA computes them for gRefCOCO.

    ``targeted`` (N,): the truth has a target; ``said_none`` (N,): the prediction says there is none
    (a head of its own, or an empty mask). With no target, saying so has IoU 1 and adds nothing to
    cIoU; not saying so has IoU 0 and adds the predicted area to the unions. With a target, saying
    there is none has intersection 0. Pr@X is over the targeted expressions alone. ReLA prints 0
    where there is nothing to average; here the ratio is NaN.
    """
    overlap = np.asarray(intersection, np.float64)
    total = np.asarray(union, np.float64)
    right_none = ~targeted & said_none
    overlap = np.where(targeted & ~said_none, overlap, 0.0)
    total = np.where(right_none, 0.0, total)
    iou = intersection_over_union(overlap, total, empty_union="zero")
    iou = np.where(right_none, 1.0, iou)
    found = {
        "gIoU": mean(iou),
        "cIoU": overall_iou(overlap, total),
        "N-acc": mean(np.where(targeted, np.nan, said_none)),
        "T-acc": mean(np.where(targeted, ~said_none, np.nan)),
    }
    only_targeted = np.where(targeted, iou, np.nan)
    return found | {f"Pr@{x}": precision_at(only_targeted, x, strict=strict) for x in thresholds}
