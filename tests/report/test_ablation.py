"""Variants over their seeds: what is counted, what is written, what stands beside."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.config.report import Published as PublishedTable
from pipeline.layout import Layout
from pipeline.report.ablation import Spread, Variant, ablation_csv, ablation_tables
from pipeline.report.ablation_chart import ablation_chart
from pipeline.report.measured import MeasuredRun
from pipeline.report.published import Published
from pipeline.report.tables import Row, Table
from pipeline.steps import report
from pipeline.store import read_json
from tests.report.conftest import Finished
from tests.report.fabricated import fabricate
from tests.report.made import weak

PUBLISHED = Published(
    table="Table 9",
    split="hard",
    rung="segmentor",
    figures={"new": {"mIoU": 40.0, "BoxAcc": 9.0}, "old": {"mIoU": 30.0}, "odd": {"mIoU": 45.0}},
)
VARIANTS = [
    Variant("new", (weak("new-0", 50.0), weak("new-1", 54.0))),
    Variant("old", (weak("old-0", 48.0), weak("old-1", 44.0))),
    Variant("odd", (weak("odd-0", 47.0),)),
]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def find(table: Table, label: str) -> Row:
    (row,) = (row for row in table.rows if row.labels[0] == label)
    return row


def test_the_spread_is_the_sample_standard_deviation() -> None:
    spread = Spread((50.0, 54.0))
    assert (spread.mean, spread.deviation) == (52.0, pytest.approx(8**0.5))
    assert (spread.cell.text, spread.cell.note) == ("52.0", "± 2.8")
    assert Spread((50.0,)).deviation is None and Spread((50.0,)).cell.note == ""


def test_a_seed_that_lacks_a_figure_is_not_counted() -> None:
    lacking = dataclasses.replace(weak("b"), rungs={"response": weak().rungs["response"]})
    variant = Variant("v", (weak("a", 50.0), lacking))
    assert variant.spread("segmentor", "hard", "mIoU") == Spread((50.0,))
    assert variant.spread("response", "hard", "mIoU") == Spread((30.0, 30.0))
    assert variant.spread("segmentor", "hard", "mIoU", "appearance") == Spread((55.0,))
    assert variant.spread("segmentor", "hard", "mIoU", "position") is None


def test_the_csv_has_every_rung_style_and_metric_and_the_published_beside() -> None:
    rows = rows_of(ablation_csv(VARIANTS, [PUBLISHED]))
    assert {row["rung"] for row in rows} == {"response", "pseudo_label", "segmentor"}
    assert {row["style"] for row in rows} == {"all", "appearance", "relation"}
    assert {row["split"] for row in rows} == {"hard", "train"}

    def row(variant: str, **keys: str) -> dict[str, str]:
        wanted = {"split": "hard", "rung": "segmentor", "style": "all", "metric": "mIoU"} | keys
        (one,) = (
            r
            for r in rows
            if r["variant"] == variant and all(r[key] == value for key, value in wanted.items())
        )
        return one

    new = row("new")
    assert (new["seeds"], new["mean"], new["spread"]) == ("2", "52.000", "2.828")
    assert new["published: Table 9"] == "40.000"
    assert (row("odd")["seeds"], row("odd")["spread"]) == ("1", "")
    for other in ({"style": "relation"}, {"rung": "response"}, {"metric": "PointM"}):
        assert row("new", **other)["published: Table 9"] == ""
    assert row("new", split="train", rung="pseudo_label")["published: Table 9"] == ""


def test_the_table_has_the_published_figures_and_how_far_they_agree() -> None:
    *_, table, styles = ablation_tables(VARIANTS, [PUBLISHED], split="hard")
    assert table.spans == (("this run, hard", 2), ("Table 9", 2))
    assert table.columns == ("mIoU", "PointM", "mIoU", "BoxAcc")
    texts = [cell.text for cell in find(table, "old").cells]
    assert texts == ["46.0", "66.0", "30.0", "—"]
    # new > odd > old here, odd > new > old there
    agreement = find(table, "pairs of variants in the published order")
    assert [cell.text for cell in agreement.cells] == ["", "", "2 of 3", "0 of 0"]
    assert styles.spans == (("appearance", 2), ("relation", 2))
    assert find(styles, "new").cells[0].text == "57.0"


def test_another_rung_has_nothing_published_beside_it() -> None:
    first, *_ = ablation_tables(VARIANTS, [PUBLISHED], split="hard")
    assert first.caption.startswith("Response map") and not first.spans
    assert len(first.rows) == len(VARIANTS)


def test_the_legend_names_a_table_of_a_later_rung() -> None:
    assert PUBLISHED.rung == "segmentor"
    other = replace(PUBLISHED, table="Another")
    charts = [ablation_chart(VARIANTS, [one], split="hard") for one in (PUBLISHED, other)]
    assert charts[0] != charts[1]


@pytest.mark.parametrize("published", [[], [PUBLISHED]])
def test_the_chart_shows_the_published_figures(published: list[Published]) -> None:
    content = ablation_chart(VARIANTS, published, split="hard")
    assert content.startswith(b"\x89PNG")
    assert (content == ablation_chart(VARIANTS, [], split="hard")) == (not published)


def test_nothing_measured_is_said_and_is_no_error() -> None:
    assert ablation_tables(VARIANTS, [PUBLISHED], split="other") == []
    assert ablation_chart(VARIANTS, [PUBLISHED], split="other").startswith(b"\x89PNG")


def test_the_report_writes_what_the_runs_measured(finished: Finished) -> None:
    rows = rows_of(finished.layout.ablation.read_text(encoding="utf-8"))
    assert {row["variant"] for row in rows} == {"weak", "supervised"}
    values = [
        read_json(finished.layout.run_metrics(run))["rungs"]["response"]["testA"]["PointM"]["value"]
        for run in ("weak", "again")
    ]
    keys = {"split": "testA", "rung": "response", "style": "all", "metric": "PointM"}
    (row,) = (r for r in rows if r["variant"] == "weak" and all(r[k] == v for k, v in keys.items()))
    assert float(row["mean"]) == pytest.approx(statistics.mean(values), abs=1e-3)
    assert float(row["spread"]) == pytest.approx(statistics.stdev(values), abs=1e-3)
    assert '<section id="ablation">' in finished.page


@pytest.fixture(scope="module")
def responses_alone(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two seeds that stop at the response, measured and reported."""
    changes: dict[str, Any] = {
        "evaluation": {"rungs": ["response"]},
        "runs": {"again": {"seed": 1}, "supervised": None},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
        config = fabricate(tmp_path_factory.mktemp("workflow"), **changes)
        report.run(config)
    return config


def test_runs_that_stop_at_the_response_are_reported(responses_alone: Config) -> None:
    layout = Layout.of(responses_alone)
    assert not any(Path(responses_alone.paths.artifacts).rglob("predictions.parquet"))
    page = layout.report.read_text(encoding="utf-8")
    assert "run weak was measured without Stage-2" in page
    assert ">segmentor<" not in page and ">pseudo-label<" not in page
    card = re.search(r'<article class="card">.*?</article>', page, re.DOTALL)
    assert card is not None
    assert re.findall("<figcaption>(.*?)</figcaption>", card[0]) == ["truth", "response map"]
    metrics = read_json(layout.metrics)["miniature"]["weak"]["testA"]
    assert set(metrics) == {"response", "baselines"}
    rows = rows_of(layout.ablation.read_text(encoding="utf-8"))
    assert {row["rung"] for row in rows} == {"response"}


def test_a_run_alone_has_no_ablation_and_what_is_published_below_its_ladder(
    finished: Finished, tmp_path: Path
) -> None:
    runs = {name: finished.config.runs[name] for name in ("weak", "supervised")}
    paths = finished.config.paths.model_copy(update={"results": str(tmp_path / "results")})
    table = {"table": "Table 2", "split": "testA", "rung": "segmentor"}
    figures = {"weak": {"mIoU": 12.34, "PointM": 56.78}}
    published = [PublishedTable(**table, figures=figures)]
    beside = finished.config.report.model_copy(update={"published": published})
    changes = {"runs": runs, "paths": paths, "report": beside}
    config = finished.config.model_copy(update=changes)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to(finished.layout.results / "runs")
    report.run(config)
    assert not Layout.of(config).ablation.exists()
    page = Layout.of(config).report.read_text(encoding="utf-8")
    assert '<section id="ablation">' not in page
    (row,) = re.findall('<tr class="published">.*?</tr>', page)
    assert "weak in Table 2" in row and ">12.3<" in row and ">56.8<" in row


def test_a_measured_run_needs_no_stage_two() -> None:
    run = MeasuredRun("a", False, {"response": weak().rungs["response"]}, {})
    (table, _) = ablation_tables([Variant("a", (run,))], [], split="hard")
    assert [cell.text for cell in find(table, "a").cells] == ["30.0", "55.5"]
