"""A row of the table of benchmarks, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COLUMNS = ("claim", "ours", "alternative", "unit", "ratio", "wanted")


@dataclass(frozen=True)
class Row:
    """One claim: what our way and the alternative cost (or yield) in ``unit``.

    ``ratio`` says how many times better ours is, or, where the claim is that something stays flat,
    how many times more it became; it must lie between ``at_least`` and ``at_most``.
    """

    claim: str
    ours: float
    alternative: float
    unit: str
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        low = self.at_least is None or self.ratio >= self.at_least
        return low and (self.at_most is None or self.ratio <= self.at_most)

    @property
    def wanted(self) -> str:
        bounds = [f"≥ {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"≤ {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(bounds) + ("" if self.holds else " (missed)")


def markdown(rows: Iterable[Row]) -> str:
    """The table, its columns padded so that it can be read as it is."""
    cells = [COLUMNS] + [
        (
            row.claim,
            _number(row.ours),
            _number(row.alternative),
            row.unit,
            f"{row.ratio:.2f}",
            row.wanted,
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
