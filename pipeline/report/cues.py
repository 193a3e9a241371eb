"""What became of the phrases that a backend proposed for the expressions: the table of cues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.costs import Cost, duration
from pipeline.report.tables import NOTHING, Cell, Row, Table
from pipeline.store import read_table

COLUMNS = (
    "expressions",
    "all phrases valid (%)",
    "phrases dropped, an expression",
    "none left: the expression itself (%)",
    "distinct cues, an expression",
    "wall time",
)


def cues_table(paths: Sequence[Path], costs: Sequence[Cost]) -> Table:
    """A row a split and one of all, of the shards of a cues table.

    ``costs``: of the jobs that made them, among others.
    """
    names = ["split", "source", "made", "dropped"]
    rows = pa.concat_tables([read_table(path, kind="cues", columns=names) for path in paths])
    splits = pc.unique(rows["split"]).to_pylist()
    seconds = sum(cost.seconds for cost in costs if cost.step == "decompose")
    spent = Cell(duration(seconds)) if seconds else NOTHING
    found = [
        _row(split, rows.filter(pc.equal(rows["split"], split)), NOTHING)
        for split in sorted(splits)
    ]
    return Table(
        caption="Cues: what was made of the expressions",
        labels=("split",),
        columns=COLUMNS,
        rows=(*found, _row("all", rows, spent, kind="total")),
    )


def _row(label: str, rows: pa.Table, spent: Cell, *, kind: str = "") -> Row:
    count = rows.num_rows
    kept = pc.not_equal(rows["source"], "expression")
    whole = pc.and_(kept, pc.equal(rows["dropped"], 0))
    means = [pc.mean(rows[name]).as_py() or 0.0 for name in ("dropped", "made")]
    cells = (
        Cell(f"{count:,}"),
        Cell(f"{100 * pc.sum(whole).as_py() / count:.1f}"),
        Cell(f"{means[0]:.2f}"),
        Cell(f"{100 * (count - pc.sum(kept).as_py()) / count:.1f}"),
        Cell(f"{means[1]:.2f}"),
        spent,
    )
    return Row((label,), cells, kind)
