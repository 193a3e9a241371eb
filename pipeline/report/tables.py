"""What the page shows as a table: plain text in cells, so that one template draws them all."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.measured import Figures, average, interval


@dataclass(frozen=True, slots=True)
class Cell:
    """``text`` in the table's type, ``note`` (an interval, a share) smaller below it."""

    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """``labels`` head the row.

    ``kind`` is one of "", main, reference, baseline, seeds, published, total.
    """

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """``labels`` name the row heads, ``columns`` the cells; ``spans`` is a line above them.

    A span is a text and the number of columns that it covers; there are none in a simple table.
    """

    caption: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    spans: tuple[tuple[str, int], ...] = ()


NOTHING = Cell("—")  # was not measured


def figure_cell(figures: Figures | None, metric: str) -> Cell:
    """A metric in percent over its 95 % interval; a dash where it was not measured."""
    value, ends = average(figures, metric), interval(figures, metric)
    if value is None:
        return NOTHING
    return Cell(f"{value:.1f}", "" if ends is None else f"{ends[0]:.1f}-{ends[1]:.1f}")
