"""Kinds of failure, counted from the table of expressions."""

from __future__ import annotations

from pathlib import Path

from pipeline.evaluation.failures import KINDS
from pipeline.report.failures import MEANINGS, count_failures, failures_chart, failures_table
from pipeline.store import read_table, write_table
from tests.report.conftest import Finished

ROWS = [
    ("hard", "segmentor", "appearance", "correct"),
    ("hard", "segmentor", "appearance", "spill"),
    ("hard", "segmentor", "appearance", "spill"),
    ("hard", "segmentor", "relation", "distractor"),
    ("hard", "response", "relation", "unknown"),
    ("easy", "segmentor", "appearance", "part"),
]


def table_of(folder: Path) -> Path:
    names = ("split", "rung", "style", "failure")
    columns = {name: [row[place] for row in ROWS] for place, name in enumerate(names)}
    path = folder / "expressions.parquet"
    write_table(path, columns, kind="evaluated", config_digest="0")
    return path


def test_counts_of_one_split(tmp_path: Path) -> None:
    (counts,) = count_failures(table_of(tmp_path), run="weak", split="hard")
    assert (counts.run, counts.rung) == ("weak", "segmentor")
    assert counts.by_style == {
        "appearance": dict.fromkeys(KINDS, 0) | {"correct": 1, "spill": 2},
        "relation": dict.fromkeys(KINDS, 0) | {"distractor": 1},
    }
    table = failures_table([counts], split="hard")
    assert table.columns == ("expressions", *KINDS)
    first = table.rows[0]
    assert first.labels == ("weak", "segmentor", "appearance")
    assert [(c.text, c.note) for c in first.cells][0::5] == [("3", ""), ("2", "66.7 %")]


def test_every_expression_is_counted_once(finished: Finished) -> None:
    path = finished.layout.run_expressions("weak")
    counts = count_failures(path, run="weak", split="testA")
    assert [one.rung for one in counts] == ["response", "pseudo_label", "segmentor"]
    rows = read_table(path, kind="evaluated", columns=["split", "rung"]).to_pylist()
    for one in counts:
        total = sum(sum(kinds.values()) for kinds in one.by_style.values())
        assert total == sum(r == {"split": "testA", "rung": one.rung} for r in rows)


def test_every_kind_has_a_meaning_and_none_is_needed_to_draw() -> None:
    assert set(MEANINGS) == set(KINDS)
    assert failures_chart([]).startswith(b"\x89PNG")
