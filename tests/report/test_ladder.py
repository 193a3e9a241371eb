"""Tables and words of the ladder, from figures that can be checked by eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.report.ladder import group_table, ladder_table
from pipeline.report.ladder_chart import ladder_chart
from pipeline.report.measured import MeasuredRun, main_run, plain_metrics, reference_run
from pipeline.report.published import Published
from pipeline.report.tables import Row, Table
from pipeline.report.verdict import verdict
from pipeline.safety import InputError
from tests.report.made import average, figures, supervised, weak

RUNS = [supervised(), weak()]


def texts(row: Row) -> list[str]:
    return [cell.text for cell in row.cells]


def find(table: Table, *labels: str) -> Row:
    (row,) = (row for row in table.rows if row.labels == labels)
    return row


def test_the_main_run_is_the_first_weak_one() -> None:
    assert main_run(RUNS).name == "weak"
    assert main_run([supervised()]).name == "supervised"
    reference = reference_run(RUNS)
    assert reference is not None and reference.name == "supervised"
    assert reference_run([weak()]) is None


def test_rows_go_from_the_main_run_to_the_baselines() -> None:
    table = ladder_table(RUNS, split="hard", families={}, published=[])
    assert [row.labels for row in table.rows] == [
        ("weak", "response map"),
        ("weak", "pseudo-label"),
        ("weak", "segmentor"),
        ("supervised (true masks)", "segmentor"),
        ("baseline", "random object"),
    ]
    assert [row.kind for row in table.rows] == ["main"] * 3 + ["reference", "baseline"]
    assert table.columns == ("mIoU", "PointM")
    assert texts(find(table, "weak", "pseudo-label")) == ["52.0", "—"]
    assert find(table, "weak", "segmentor").cells[0].note == "48.0-52.0"
    assert "10 expressions of 4 images" in table.caption


def test_a_split_shows_only_what_was_measured_there() -> None:
    table = ladder_table(RUNS, split="train", families={}, published=[])
    assert [row.labels for row in table.rows] == [("weak", "pseudo-label")]


def test_seeds_of_one_setting_have_a_mean_and_a_spread() -> None:
    runs = [weak(), weak("again", 54.0), supervised()]
    families = {"weak": ["weak", "again"], "supervised": ["supervised"]}
    table = ladder_table(runs, split="hard", families=families, published=[])
    row = find(table, "weak, 2 seeds", "segmentor")
    assert (row.cells[0].text, row.cells[0].note) == ("52.0", "± 2.8")  # sqrt(8)
    assert not any(row.labels[0].startswith("supervised, ") for row in table.rows)


def test_what_is_published_of_a_split_stands_below_what_was_measured_there() -> None:
    beside = [
        Published("Table 2", "hard", "segmentor", {"weak": {"mIoU": 31.17, "oIoU": 29.0}}),
        Published("Table 2", "hard", "response", {"weak": {"PointM": 51.92}}),
        Published("Table 2", "train", "segmentor", {"weak": {"mIoU": 99.0}}),
    ]
    table = ladder_table(RUNS, split="hard", families={}, published=beside)
    assert table.columns == ("mIoU", "PointM", "oIoU")
    assert [(row.labels, row.kind) for row in table.rows[-2:]] == [
        (("weak in Table 2", "segmentor"), "published"),
        (("weak in Table 2", "response map"), "published"),
    ]
    assert [texts(row) for row in table.rows[-2:]] == [["31.2", "—", "29.0"], ["—", "51.9", "—"]]
    assert texts(find(table, "weak", "segmentor")) == ["50.0", "66.0", "—"]


def test_groups_are_spans_of_columns() -> None:
    table = group_table(RUNS, split="hard", group="style")
    assert table.spans == (("appearance (7)", 2), ("relation (3)", 2))
    assert texts(find(table, "weak", "segmentor")) == ["55.0", "—", "45.0", "—"]


def test_a_value_without_interval_has_no_note() -> None:
    run = weak()
    run.rungs["segmentor"]["hard"]["mIoU"] = average(50.0, None)  # type: ignore[index]
    row = find(ladder_table([run], split="hard", families={}, published=[]), "weak", "segmentor")
    assert (row.cells[0].text, row.cells[0].note) == ("50.0", "")


def test_plain_metrics_are_rounded_and_nothing_else() -> None:
    run = MeasuredRun("a", False, {"segmentor": {"hard": figures(mIoU=100 / 3)}}, {})
    assert plain_metrics([run], dataset="toy") == {
        "toy": {"a": {"hard": {"segmentor": {"mIoU": 33.33}}}}
    }


@pytest.mark.parametrize("content", [{}, [], {"rungs": 1, "baselines": {}}, None])
def test_a_file_that_holds_no_figures_is_named(content: Any) -> None:
    with pytest.raises(InputError, match=r"x\.json: holds no figures"):
        MeasuredRun.of("weak", content, supervised=False, source="x.json")


def test_the_verdict_says_what_the_numbers_say() -> None:
    words = verdict(RUNS, dataset="toy", split="hard")
    for part in (
        "On hard of toy (10 expressions of 4 images)",
        "a mIoU of 50.0 % (95 % interval 48.0 to 52.0)",
        "80 % of the 62.5 %",
        "for 55.5 % of the expressions, against 29.5 %",
        "raises the mIoU from 30.0 % (response maps) to 52.0 %",
        "2.0 points below",
        "best on sentences of appearance (55.0 %) and worst on sentences of relation (45.0 %)",
        "for 60.0 %; where it is wrong, most often it finds another object of the image (25.0 %",
    ):
        assert part in words, part


def test_the_verdict_turns_with_the_numbers() -> None:
    better = verdict([weak(segmentor=58.0)], dataset="toy", split="hard")
    assert "6.0 points above" in better and "true masks" not in better
    alone = verdict([supervised()], dataset="toy", split="hard")
    assert "taught from true masks" in alone and "response map" not in alone
    assert verdict([weak()], dataset="toy", split="none").startswith("Nothing was measured")


@pytest.mark.parametrize("runs", [RUNS, [weak()], [supervised()]])
def test_the_chart_is_drawn_for_any_runs(runs: list[MeasuredRun], tmp_path: Path) -> None:
    content = ladder_chart(runs, split="hard")
    assert content.startswith(b"\x89PNG") and b"matplotlib" not in content
