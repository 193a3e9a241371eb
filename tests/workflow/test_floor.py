"""The floor under the default run: every check can fail, and says what it saw."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.safety import InputError
from pipeline.workflow.floor import (
    Span,
    busy_seconds,
    cost_checks,
    peak_memory,
    quality_checks,
    read_spans,
    table,
)

METRICS: dict[str, Any] = {
    "toy": {
        "weak": {
            "hard": {
                "baselines": {"random_object": {"PointM": 30.0}},
                "response": {"PointM": 46.0, "mIoU": 30.0},
                "pseudo_label": {"mIoU": 46.0},
                "segmentor": {"mIoU": 50.0},
            }
        },
        "supervised": {"hard": {"segmentor": {"mIoU": 60.0}}},
    }
}
NAMES = {"dataset": "toy", "weak": "weak", "supervised": "supervised", "split": "hard"}


def failures(metrics: dict[str, Any]) -> list[str]:
    return [check.name for check in quality_checks(metrics, **NAMES) if not check.holds]


def test_good_metrics_pass() -> None:
    assert failures(METRICS) == []


@pytest.mark.parametrize(
    ("keys", "value", "failed"),
    [
        (("weak", "response", "PointM"), 44.0, "response PointM"),
        (("weak", "pseudo_label", "mIoU"), 44.0, "pseudo-label mIoU"),
        (("weak", "response", "mIoU"), 41.0, "segmentor mIoU, response"),
        (("weak", "segmentor", "mIoU"), 47.0, "segmentor mIoU, 0.80"),
        (("supervised", "segmentor", "mIoU"), 54.0, "supervised segmentor"),
    ],
)
def test_each_floor_can_be_missed(keys: tuple[str, str, str], value: float, failed: str) -> None:
    run, rung, metric = keys
    metrics = copy.deepcopy(METRICS)
    metrics["toy"][run]["hard"][rung][metric] = value
    assert any(name.startswith(failed) for name in failures(metrics))


def test_a_missing_figure_is_named() -> None:
    metrics = copy.deepcopy(METRICS)
    del metrics["toy"]["weak"]["hard"]["pseudo_label"]
    with pytest.raises(InputError, match="toy / weak / hard / pseudo_label"):
        quality_checks(metrics, **NAMES)


def test_time_and_memory_of_jobs_that_overlap() -> None:
    spans = [Span(0, 10, 1000), Span(5, 20, 2000), Span(20, 30, 2500), Span(40, 41, 100)]
    assert busy_seconds(spans) == 31
    assert peak_memory(spans) == 3000


def test_slow_or_large_runs_fail() -> None:
    modest = [Span(0, 60, 1000)]
    assert all(check.holds for check in cost_checks(modest, wall=700))
    assert not all(check.holds for check in cost_checks(modest, wall=730))
    assert not all(check.holds for check in cost_checks([Span(0, 730, 1000)], wall=0))
    assert not all(check.holds for check in cost_checks([Span(0, 60, 6100)], wall=60))


def test_benchmark_files_are_read(tmp_path: Path) -> None:
    header = "s\th:m:s\tmax_rss\tcpu_time\n"
    (tmp_path / "a.tsv").write_text(header + "12.5\t0:00:12\t512.25\t11\n")
    (tmp_path / "b.tsv").write_text(header + "0.1\t0:00:00\tNA\t0\n")
    for name in ("a.tsv", "b.tsv"):
        os.utime(tmp_path / name, (1000, 1000))
    assert read_spans(tmp_path) == [Span(987.5, 1000, 512.25), Span(999.9, 1000, 0)]


def test_no_benchmarks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make run"):
        read_spans(tmp_path)


def test_the_table_shows_value_beside_floor() -> None:
    lines = table(cost_checks([Span(0, 60, 6100)], wall=60)).splitlines()
    assert lines[1].startswith("ok") and "1.00" in lines[1] and "<=" in lines[1]
    assert lines[2].startswith("FAIL") and "6.10" in lines[2]
