"""From records to figures: every average of a rung, by split, style and size, with its interval."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from pipeline.evaluation.bootstrap import bootstrap
from pipeline.evaluation.conventions import Convention
from pipeline.evaluation.failures import KINDS
from pipeline.evaluation.scoring import SIZES, Records
from pipeline.evaluation.styles import STYLES
from pipeline.metrics import (
    PRECISIONS,
    Bools,
    Ratio,
    generalised,
    mean,
    mean_of_means,
    overall_iou,
    precision_at,
)

Figures = dict[str, Any]
GROUPS: dict[str, tuple[str, ...]] = {"style": STYLES, "size": SIZES}


def averages(records: Records, *, convention: Convention) -> dict[str, Ratio]:
    """Every average of METHODS ("Metrics") of some records of one split, by name.

    The gRefCOCO ones are there if any expression has no target. An average that has nothing to
    average (PointM without peaks, mIoU without masks) is left out.
    """
    iou = records["iou"]
    referents = np.unique(
        np.stack([_codes(records["dataset"]), records["ref_id"]], axis=1),
        axis=0,
        return_inverse=True,
    )[1]
    found = {
        "mIoU": mean(iou),
        "oIoU": overall_iou(records["intersection"], records["union"]),
        **{f"P@{x}": precision_at(iou, x, strict=convention.strict) for x in PRECISIONS},
        "PointM": mean(records["point"]),
        "PointIt": mean(records["hit"]),
        "BoxAcc": mean(records["box"]),
        "ImgAcc": mean_of_means(iou, image_codes(records)),
        "InstAcc": mean_of_means(iou, referents),
    }
    targeted = records["truth_area"] > 0
    if not targeted.all() and not np.isnan(records["said_none"]).any():
        found |= generalised(
            records["intersection"],
            records["union"],
            targeted,
            records["said_none"] > 0,
            strict=convention.strict,
        )
    return {name: ratio for name, ratio in found.items() if ratio.denominator.any()}


def _codes(column: np.ndarray) -> np.ndarray:
    return np.unique(column, return_inverse=True)[1]


def image_codes(records: Records) -> np.ndarray:
    """A number for the image of each record of one split."""
    pairs = np.stack([_codes(records["dataset"]), records["image_id"]], axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1]


def summarise(
    records: Records,
    *,
    convention: Convention,
    rng: np.random.Generator,
    resamples: int,
    only: Collection[str] | None = None,
) -> dict[str, Figures]:
    """The figures of each split, ready for JSON.

    ``{split: {metric: {"value", "low", "high"}, "by_style": {style: {metric: ..., "count"}},
    "by_size": ..., "failures": {kind: percent}, "count": expressions, "images": images}}``, all in
    percent; ``low`` and ``high`` are None where there are fewer than two images or no resamples. A
    group without expressions, and ``failures`` where they are unknown, are left out. ``only`` keeps
    some averages.
    """
    return {
        str(split): _figures(
            _where(records, records["split"] == split), convention, rng, resamples, only
        )
        for split in np.unique(records["split"])
    }


def _where(records: Records, keep: Bools) -> Records:
    return {name: column[keep] for name, column in records.items()}


def _figures(
    records: Records,
    convention: Convention,
    rng: np.random.Generator,
    resamples: int,
    only: Collection[str] | None,
) -> Figures:
    """All groups share the drawn images, so that the groups of a split can be compared."""
    count = len(records["iou"])
    ratios: list[Ratio] = []
    slots: list[tuple[Figures, str]] = []

    def add(into: Figures, keep: Bools) -> None:
        into["count"] = int(keep.sum())
        for name, ratio in averages(_where(records, keep), convention=convention).items():
            if only is None or name in only:
                slots.append((into, name))
                ratios.append(_spread(ratio, keep))

    figures: Figures = {}
    add(figures, np.ones(count, dtype=np.bool_))
    for group, values in GROUPS.items():
        parts: Figures = {}
        for value in values:
            keep = records[group] == value
            if keep.any():
                add(parts.setdefault(value, {}), keep)
        figures[f"by_{group}"] = parts
    images = image_codes(records)
    intervals = bootstrap(ratios, images, resamples=resamples, rng=rng)
    for (into, name), ratio, (low, high) in zip(slots, ratios, intervals, strict=True):
        into[name] = {"value": ratio.percent(), "low": _or_none(low), "high": _or_none(high)}
    known = records["failure"] != "unknown"
    if known.any():
        figures["failures"] = {
            kind: 100 * float((records["failure"][known] == kind).mean()) for kind in KINDS
        }
    figures["images"] = int(images.max()) + 1
    return figures


def _spread(ratio: Ratio, keep: Bools) -> Ratio:
    """A group's ratio as one over all records, zero outside the group."""
    parts = (np.zeros(len(keep)), np.zeros(len(keep)))
    for part, values in zip(parts, ratio, strict=True):
        part[keep] = values
    return Ratio(*parts)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
