"""Training curves: the CSV of each trained network, and a chart of its loss terms against steps."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from pipeline.report.drawing import COLOURS, draw, grid_of
from pipeline.report.tables import NOTHING, Cell, Row, Table
from pipeline.safety import InputError

NOT_LOSSES = frozenset({"step", "epoch", "learning_rate", "seconds", "images_per_second"})


@dataclass(frozen=True, slots=True)
class Curve:
    """The rows of one training: columns of equal length, ``step`` among them."""

    title: str
    columns: dict[str, list[float]]

    @property
    def losses(self) -> list[str]:
        """The total and its terms, in the file's order."""
        return [name for name in self.columns if name not in NOT_LOSSES]


def read_curve(path: str | Path, *, title: str) -> Curve:
    """What ``training/curves.py`` wrote; an unfinished last row is left out.

    :class:`InputError` names a file that is missing or holds no curve.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        kept = [[float(value) for value in row] for row in rows if len(row) == len(header)]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a training curve ({error}); train it again") from None
    if "step" not in header:
        raise InputError(f"{path}: not a training curve (no column step); train it again")
    columns = {name: [row[index] for row in kept] for index, name in enumerate(header)}
    return Curve(title, columns)


def curves_chart(curves: Sequence[Curve]) -> bytes:
    """A PNG with a panel for each curve."""

    def paint(figure: Figure) -> None:
        for axes, curve in zip(grid_of(figure, len(curves), columns=3), curves, strict=True):
            _panel(axes, curve)

    rows = -(-len(curves) // 3)
    return draw(paint, size=(12, 2.9 * max(1, rows)))


def _panel(axes: Axes, curve: Curve) -> None:
    steps = curve.columns["step"]
    # With one term the total is that term times its weight: one line says it.
    names = [name for name in curve.losses if name != "loss"] or curve.losses
    names = (["loss"] if len(names) > 1 and "loss" in curve.columns else []) + names
    for index, name in enumerate(names):
        axes.plot(
            steps,
            curve.columns[name],
            label=name,
            color=COLOURS[index % len(COLOURS)],
            linewidth=1.4,
            marker="." if len(steps) < 3 else "",  # a line of one point would not show
        )
    values = [value for name in names for value in curve.columns[name]]
    if values and all(value > 0 and math.isfinite(value) for value in values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(curve.title)
    axes.set_xlabel("step")
    if names:
        # below, where it hides no line
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3)


def training_table(curves: Sequence[Curve]) -> Table:
    """How long and how fast each network trained, and where its losses ended."""
    return Table(
        caption="Training",
        labels=("network",),
        columns=("steps", "minutes", "images a second", "last losses"),
        rows=tuple(Row((curve.title,), _training_cells(curve)) for curve in curves),
    )


def _training_cells(curve: Curve) -> tuple[Cell, ...]:
    columns = curve.columns
    if not columns["step"]:
        return (Cell("0"), NOTHING, NOTHING, NOTHING)
    speeds = sorted(columns.get("images_per_second", []))
    seconds = columns.get("seconds", [])
    last = ", ".join(f"{name} {columns[name][-1]:.3g}" for name in curve.losses)
    return (
        Cell(f"{columns['step'][-1]:.0f}"),
        Cell(f"{seconds[-1] / 60:.1f}") if seconds else NOTHING,
        Cell(f"{speeds[len(speeds) // 2]:.0f}") if speeds else NOTHING,
        Cell(last),
    )
