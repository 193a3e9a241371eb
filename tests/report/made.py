"""Figures by hand, for what needs no workflow."""

from __future__ import annotations

from typing import Any

from pipeline.report.measured import MeasuredRun


def average(value: float, half: float | None = 2.0) -> dict[str, float | None]:
    """A metric as evaluation writes it; without ``half`` there is no interval."""
    ends = (None, None) if half is None else (value - half, value + half)
    return {"value": value, "low": ends[0], "high": ends[1]}


def figures(**metrics: float) -> dict[str, Any]:
    """Figures of one split: 10 expressions of 4 images."""
    return {
        "count": 10,
        **{name: average(value) for name, value in metrics.items()},
        "by_style": {
            "appearance": {"count": 7, "mIoU": average(metrics.get("mIoU", 0) + 5)},
            "relation": {"count": 3, "mIoU": average(metrics.get("mIoU", 0) - 5)},
        },
        "by_size": {"small": {"count": 10, "mIoU": average(metrics.get("mIoU", 0))}},
        "failures": {
            "correct": 60.0,
            "distractor": 25.0,
            "background": 5.0,
            "part": 10.0,
            "spill": 0.0,
        },
        "images": 4,
    }


def weak(name: str = "weak", segmentor: float = 50.0) -> MeasuredRun:
    return MeasuredRun(
        name,
        supervised=False,
        rungs={
            "response": {"hard": figures(mIoU=30.0, PointM=55.5)},
            "pseudo_label": {"hard": figures(mIoU=52.0), "train": figures(mIoU=53.0)},
            "segmentor": {"hard": figures(mIoU=segmentor, PointM=66.0)},
        },
        baselines={"random_object": {"hard": figures(mIoU=29.0, PointM=29.5)}},
    )


def supervised() -> MeasuredRun:
    return MeasuredRun(
        "supervised",
        supervised=True,
        rungs={"segmentor": {"hard": figures(mIoU=62.5, PointM=70.0)}},
        baselines={"random_object": {"hard": figures(mIoU=29.0, PointM=29.5)}},
    )
