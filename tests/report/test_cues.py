"""The table of cues: shares by split, from the shards."""

from __future__ import annotations

from pathlib import Path

from pipeline.report.costs import Cost
from pipeline.report.cues import cues_table
from pipeline.store import write_table


def shard(path: Path, rows: list[tuple[str, str, int, int]]) -> Path:
    columns = zip(*rows, strict=True)
    split, source, made, dropped = map(list, columns)
    keys = {name: list(range(len(rows))) for name in ("image_id", "ref_id", "sent_id")}
    write_table(
        path,
        {
            "dataset": ["toy"] * len(rows),
            "split": split,
            **keys,
            "cues": [["a", "a b"]] * len(rows),
            "source": source,
            "made": made,
            "dropped": dropped,
        },
        kind="cues",
        config_digest="0",
    )
    return path


def test_shares_of_all_shards(tmp_path: Path) -> None:
    paths = [
        shard(tmp_path / "0.parquet", [("train", "llm", 3, 0), ("testA", "expression", 1, 4)]),
        shard(tmp_path / "1.parquet", [("train", "llm", 2, 1), ("train", "llm", 1, 0)]),
    ]
    costs = [Cost("decompose-0", "decompose", 40.0, None, None)] * 2
    table = cues_table(paths, [*costs, Cost("tables", "tables", 5.0, None, None)])
    told = {row.labels[0]: [cell.text for cell in row.cells] for row in table.rows}
    assert told == {
        "testA": ["1", "0.0", "4.00", "100.0", "1.00", "—"],
        "train": ["3", "66.7", "0.33", "0.0", "2.00", "—"],
        "all": ["4", "50.0", "1.25", "25.0", "1.75", "1 min 20 s"],
    }
    assert len(table.columns) == len(table.rows[0].cells)
