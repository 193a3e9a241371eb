"""The record of each expression: what one rung predicted, measured against the truth.

Records are kept as columns (a dict of arrays of one length), image by image. Keys: dataset, split,
image_id, ref_id, sent_id. Measures, float64, NaN where one does not apply:

- intersection, union, predicted_area (pixels at the convention's resolution), iou in [0, 1]
- truth_area, share (pixels at the image's size, and as a share of the image)
- point (PointM), hit (PointIt), box (BoxAcc): 1 or 0; NaN without a target, a peak, or a mask
- said_none: 1 where the prediction says that nothing is meant
- digest: a CRC-32 of mask and peak, by which duplicates are told from contradictions

and three words: style, size (of the object, ``none`` without a target), failure (``unknown``
without objects or mask).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.boxes import box_accurate
from pipeline.evaluation.conventions import Convention
from pipeline.evaluation.failures import failure_kind
from pipeline.evaluation.readout import resize_masks
from pipeline.evaluation.styles import style_of
from pipeline.evaluation.truth import ImageKey, ImageTruth
from pipeline.metrics import (
    Bools,
    Floats,
    Ints,
    areas,
    intersection_over_union,
    overlaps,
    points_in_boxes,
    points_in_masks,
)
from pipeline.safety import InputError

Column = NDArray[Any]
Records = dict[str, Column]

KEYS: tuple[str, ...] = ("dataset", "split", "image_id", "ref_id", "sent_id")
MEASURES: tuple[str, ...] = (
    "intersection",
    "union",
    "predicted_area",
    "iou",
    "truth_area",
    "share",
    "point",
    "hit",
    "box",
    "said_none",
)
WORDS: tuple[str, ...] = ("style", "size", "failure")

# Shares of the image's area: squares of 15 % and of 22 % of its side. They part the miniature's
# objects into thirds. Fixed, so that a size means the same for every dataset and method.
SIZE_BOUNDS: tuple[float, float] = (0.0225, 0.0484)
SIZES: tuple[str, ...] = ("small", "medium", "large")


@dataclass(frozen=True)
class ImagePredictions:
    """What one rung says of N expressions of one image.

    masks (N, H, W) bool at the image's size, or None; peaks (N, 2) x, y in pixels, or None.
    said_none (N,) bool: the method's own word that nothing is meant; None: its mask is empty.
    """

    image: ImageKey
    ref_ids: Ints
    sent_ids: Ints
    masks: Bools | None
    peaks: Ints | None
    said_none: Bools | None = None


def size_of(shares: Floats) -> NDArray[np.str_]:
    """small, medium or large, by the share of the image's area."""
    return np.array(SIZES)[np.searchsorted(SIZE_BOUNDS, shares, side="right")]


def blank_records(image: ImageKey, ref_ids: Ints, sent_ids: Ints, truth: ImageTruth) -> Records:
    """Records of N expressions with the columns that no prediction is needed for; the rest NaN."""
    count = len(ref_ids)
    records: Records = {
        "dataset": np.full(count, image[0]),
        "split": np.full(count, image[1]),
        "image_id": np.full(count, image[2], dtype=np.int64),
        "ref_id": ref_ids,
        "sent_id": sent_ids,
    }
    for name in MEASURES:
        records[name] = np.full(count, np.nan)
    pairs = zip(ref_ids.tolist(), sent_ids.tolist(), strict=True)
    records["truth_area"] = areas(truth.masks)[truth.places(ref_ids)].astype(np.float64)
    records["share"] = records["truth_area"] / (truth.size[0] * truth.size[1])
    records["digest"] = np.zeros(count, dtype=np.int64)
    records["style"] = np.array([style_of(truth.expressions[pair]) for pair in pairs])
    records["size"] = np.where(records["truth_area"] > 0, size_of(records["share"]), "none")
    records["failure"] = np.full(count, "unknown")
    return records


def score_image(
    predictions: ImagePredictions, truth: ImageTruth, convention: Convention
) -> Records:
    """The records of one image's predictions. InputError: a size or an expression is wrong."""
    _check(predictions, truth)
    ref_ids, sent_ids = predictions.ref_ids, predictions.sent_ids
    records = blank_records(predictions.image, ref_ids, sent_ids, truth)
    places = truth.places(ref_ids)
    meant = truth.masks[places]
    targeted = records["truth_area"] > 0
    if predictions.peaks is not None:
        peaks = predictions.peaks
        records["point"] = np.where(targeted, points_in_masks(peaks, meant), np.nan)
        records["hit"] = np.where(targeted, points_in_boxes(peaks, truth.boxes[places]), np.nan)
    masks = predictions.masks
    if masks is not None:
        _score_masks(records, masks, meant, convention)
        content = [np.packbits(mask).tobytes() for mask in masks]
        records["box"] = _boxes_found(masks, content, truth.boxes[places], targeted)
        if truth.objects is not None:
            records["failure"] = _failures(predictions, masks, meant, truth.objects)
    if predictions.said_none is not None:
        records["said_none"] = predictions.said_none.astype(np.float64)
    records["digest"] = _digests(predictions)
    return records


def _check(predictions: ImagePredictions, truth: ImageTruth) -> None:
    dataset, split, image = predictions.image
    for pair in zip(predictions.ref_ids.tolist(), predictions.sent_ids.tolist(), strict=True):
        if pair not in truth.expressions:
            raise InputError(
                f"predictions: {dataset} {split} image {image} has no expression with ref_id "
                f"{pair[0]} and sent_id {pair[1]}; were they made from other tables?"
            )
    if predictions.masks is not None and predictions.masks.shape[1:] != truth.size:
        raise InputError(
            f"predictions: masks of {dataset} {split} image {image} have height and width "
            f"{predictions.masks.shape[1:]}, the image has {truth.size}"
        )


def _score_masks(records: Records, masks: Bools, meant: Bools, convention: Convention) -> None:
    if convention.side is not None:
        size = (convention.side, convention.side)
        masks, meant = resize_masks(masks, size), resize_masks(meant, size)
    intersection, union = overlaps(masks, meant)
    predicted = areas(masks)
    records["intersection"] = intersection.astype(np.float64)
    records["union"] = union.astype(np.float64)
    records["predicted_area"] = predicted.astype(np.float64)
    records["said_none"] = (predicted == 0).astype(np.float64)
    records["iou"] = intersection_over_union(
        intersection, union, empty_union=convention.empty_union
    )


def _boxes_found(
    masks: Bools, content: Sequence[bytes], boxes: Ints, targeted: Bools
) -> NDArray[np.float64]:
    """BoxAcc of each mask; sentences of a referent that share a mask are measured once."""
    known: dict[tuple[bytes, ...], float] = {}
    found = []
    for mask, packed, box, has_target in zip(masks, content, boxes, targeted, strict=True):
        key = (packed, box.tobytes())
        if has_target and key not in known:
            known[key] = float(box_accurate(mask, box))
        found.append(known[key] if has_target else np.nan)
    return np.array(found, dtype=np.float64)


def _failures(
    predictions: ImagePredictions, masks: Bools, meant: Bools, objects: Bools
) -> NDArray[np.str_]:
    peaks: Iterable[list[int] | None] = (
        [None] * len(masks) if predictions.peaks is None else predictions.peaks.tolist()
    )
    return np.array(
        [
            failure_kind(mask, truth, objects, peak=None if peak is None else (peak[0], peak[1]))
            for mask, truth, peak in zip(masks, meant, peaks, strict=True)
        ]
    )


def _digests(predictions: ImagePredictions) -> Ints:
    found = []
    for row in range(len(predictions.ref_ids)):
        digest = 0
        for part in (predictions.masks, predictions.peaks, predictions.said_none):
            if part is not None:
                value = part[row]
                content = np.packbits(np.atleast_1d(value)) if value.dtype == np.bool_ else value
                digest = zlib.crc32(content.tobytes(), digest)
        found.append(digest)
    return np.array(found, dtype=np.int64)


def gather(parts: Iterable[Records]) -> Records:
    """All records of a rung, in the order of their keys, each expression once.

    A record that is there twice with one content (a padded batch, an overlap of shards) counts
    once. InputError: an expression has two different records.
    """
    parts = list(parts)
    if not parts:
        raise InputError("predictions: there are none for these splits")
    records = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    codes = [
        np.unique(records[name], return_inverse=True)[1]
        for name in ("dataset", "split", "ref_id", "sent_id")
    ]
    order = np.lexsort((*codes[::-1], records["image_id"]))  # by image first, as tables are
    _, first, number = np.unique(
        np.stack(codes, axis=1), axis=0, return_index=True, return_inverse=True
    )
    for column in records.values():
        kept = column[first][number]
        differs = kept != column
        if column.dtype.kind == "f":
            differs &= ~(np.isnan(kept) & np.isnan(column))
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            key = ", ".join(f"{name} {records[name][row]}" for name in KEYS)
            raise InputError(f"predictions: two different ones for {key}")
    keep = np.zeros(len(order), dtype=np.bool_)
    keep[first] = True
    order = order[keep[order]]
    return {name: column[order] for name, column in records.items()}
