"""Costs: which benchmark files count, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.costs import costs_table, duration, read_costs, total_seconds

STEPS = ("tables", "propose", "train_localizer", "refine")
RUNS = ("weak", "weak-2")


def write(folder: Path, job: str, content: str) -> None:
    (folder / f"{job}.tsv").write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{content}", encoding="utf-8")


def jobs(folder: Path) -> list[str]:
    return [cost.job for cost in read_costs(folder, steps=STEPS, runs=RUNS)]


def test_jobs_come_in_the_order_of_the_flow(tmp_path: Path) -> None:
    for job in ("refine-weak-1", "refine-weak-0", "tables", "train_localizer-weak", "propose-0"):
        write(tmp_path, job, "1\t0:00:01\t100\t1\n")
    assert jobs(tmp_path) == [
        "tables",
        "propose-0",
        "train_localizer-weak",
        "refine-weak-0",
        "refine-weak-1",
    ]


def test_runs_that_are_gone_do_not_count(tmp_path: Path) -> None:
    kept = ["refine-weak-2", "refine-weak-2-0"]  # shard 2 of weak; shard 0 of weak-2
    for job in (*kept, "refine-gone", "refine-gone-0", "tables-old", "tablespoon", "report"):
        write(tmp_path, job, "1\t0:00:01\t100\t1\n")
    assert jobs(tmp_path) == kept


def test_what_was_not_measured_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, "tables", "0.05\t0:00:00\tNA\t-\n")
    write(tmp_path, "propose-0", "100\t0:01:40\t512.4\t90\n")
    write(tmp_path, "refine-weak-0", "")  # cut short
    costs = read_costs(tmp_path, steps=STEPS, runs=RUNS)
    assert [(c.job, c.memory, c.processor) for c in costs] == [
        ("tables", None, None),
        ("propose-0", 512.4, 90.0),
    ]
    assert total_seconds(costs) == 100.05
    table = costs_table(costs)
    assert [cell.text for cell in table.rows[0].cells] == ["0.1 s", "—", "—"]
    assert [cell.text for cell in table.rows[-1].cells] == ["1 min 40 s", "1 min 30 s", "512"]


def test_no_folder_has_no_costs(tmp_path: Path) -> None:
    assert read_costs(tmp_path / "none", steps=STEPS, runs=RUNS) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (42, "42 s"),
        (59.9, "60 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
