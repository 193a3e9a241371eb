"""The floor under the default run: what it must reach, how fast and in how much memory.

The floors are on the split that the miniature holds back for reporting. They are ratios and
differences between rungs of one run where possible, so that they say something about the method.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.safety import InputError


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table: ``value`` must be at least ``floor``, or ``at_most`` it."""

    name: str
    value: float
    floor: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        return self.value <= self.floor if self.at_most else self.value >= self.floor


@dataclass(frozen=True, slots=True)
class Span:
    """When a job ran (seconds since the epoch) and the most memory it held (MB)."""

    start: float
    end: float
    memory: float


def quality_checks(
    metrics: Mapping[str, Any], *, dataset: str, weak: str, supervised: str, split: str
) -> list[Check]:
    """The quality floors of ``results/metrics.json`` (percent), for one dataset and split."""

    def value(run: str, *keys: str) -> float:
        found: Any = metrics
        for key in (dataset, run, split, *keys):
            if not isinstance(found, Mapping) or key not in found:
                path = " / ".join((dataset, run, split, *keys))
                raise InputError(f"results/metrics.json has no {path}")
            found = found[key]
        return float(found)

    pointing = value(weak, "response", "PointM")
    chance = value(weak, "baselines", "random_object", "PointM")
    response = value(weak, "response", "mIoU")
    pseudo_label = value(weak, "pseudo_label", "mIoU")
    segmentor = value(weak, "segmentor", "mIoU")
    reference = value(supervised, "segmentor", "mIoU")
    return [
        Check("response PointM, 1.5 x random object", pointing, 1.5 * chance),
        Check("pseudo-label mIoU, response + 15", pseudo_label, response + 15),
        Check("segmentor mIoU, response + 10", segmentor, response + 10),
        Check("segmentor mIoU, 0.80 x supervised", segmentor, 0.8 * reference),
        Check("supervised segmentor mIoU", reference, 55),
    ]


def cost_checks(spans: list[Span], *, wall: float) -> list[Check]:
    """Time and memory floors. ``wall``: seconds that the run took as seen from outside."""
    return [
        Check("wall time (min)", max(wall, busy_seconds(spans)) / 60, 12, at_most=True),
        Check("peak memory (GB)", peak_memory(spans) / 1000, 6, at_most=True),
    ]


def read_spans(folder: Path) -> list[Span]:
    """What Snakemake's benchmark files say. A file is written when its job ends."""
    spans = []
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        end = path.stat().st_mtime
        memory = 0.0 if row["max_rss"] in ("NA", "-") else float(row["max_rss"])
        spans.append(Span(end - float(row["s"]), end, memory))
    if not spans:
        raise InputError(f"{folder}: holds no benchmark files; run `make run` first")
    return spans


def busy_seconds(spans: list[Span]) -> float:
    """Seconds in which at least one job ran."""
    total, reached = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span.start):
        total += max(0.0, span.end - max(span.start, reached))
        reached = max(reached, span.end)
    return total


def peak_memory(spans: list[Span]) -> float:
    """The most memory of jobs that ran together (MB), as if each held its maximum all the time."""
    return max(
        sum(other.memory for other in spans if other.start <= span.start < other.end)
        for span in spans
    )


def table(checks: list[Check]) -> str:
    """The checks as text, one a line."""
    width = max(len(check.name) for check in checks)
    lines = [f"{'':4}  {'':{width}}  {'value':>8}     {'floor':>8}"]
    for check in checks:
        verdict, sign = "ok" if check.holds else "FAIL", "<=" if check.at_most else ">="
        lines.append(
            f"{verdict:4}  {check.name:{width}}  {check.value:8.2f}  {sign} {check.floor:8.2f}"
        )
    return "\n".join(lines)
