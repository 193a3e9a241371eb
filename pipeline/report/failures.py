"""What went wrong, by sentence style: counts of :mod:`pipeline.evaluation.failures` kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.failures import KINDS
from pipeline.evaluation.styles import STYLES
from pipeline.report.drawing import COLOURS, PAPER, draw, grid_of
from pipeline.report.ladder import WORDS
from pipeline.report.measured import RUNGS
from pipeline.report.tables import Cell, Row, Table
from pipeline.store import read_table

MEANINGS: dict[str, str] = {
    "correct": "IoU with the truth of at least 0.5",
    "distractor": "the peak is in another object",
    "background": "the peak is in no object",
    "part": "the peak is in the right object, the mask is smaller than it",
    "spill": "the peak is in the right object, the mask is no smaller than it",
}
KIND_COLOURS = dict(
    zip(KINDS, (COLOURS[2], COLOURS[5], COLOURS[6], COLOURS[1], COLOURS[4]), strict=True)
)


@dataclass(frozen=True, slots=True)
class FailureCounts:
    """How often each kind befell one rung of one run: style -> kind -> expressions."""

    run: str
    rung: str
    by_style: Mapping[str, Mapping[str, int]]

    @property
    def title(self) -> str:
        return f"{self.run}: {WORDS[self.rung]}"


def count_failures(path: str | Path, *, run: str, split: str) -> list[FailureCounts]:
    """The counts of each rung in a run's table ``evaluated``; unknown failures are left out."""
    columns = ["rung", "style", "failure"]
    table = read_table(path, kind="evaluated", columns=columns, filters=[("split", "==", split)])
    found = Counter(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    counts = []
    for rung in RUNGS:
        by_style = {
            style: {kind: found[rung, style, kind] for kind in KINDS}
            for style in STYLES
            if any(found[rung, style, kind] for kind in KINDS)
        }
        if by_style:
            counts.append(FailureCounts(run, rung, by_style))
    return counts


def failures_table(counts: Iterable[FailureCounts], *, split: str) -> Table:
    """Counts, with their share of the style's expressions below."""
    return Table(
        caption=f"Kinds of failure by sentence style, split {split}",
        labels=("run", "rung", "style"),
        columns=("expressions", *KINDS),
        rows=tuple(
            Row((one.run, WORDS[one.rung], style), _cells(kinds))
            for one in counts
            for style, kinds in one.by_style.items()
        ),
    )


def _cells(kinds: Mapping[str, int]) -> tuple[Cell, ...]:
    total = sum(kinds.values())
    return (
        Cell(str(total)),
        *(Cell(str(kinds[kind]), f"{100 * kinds[kind] / total:.1f} %") for kind in KINDS),
    )


def failures_chart(counts: Sequence[FailureCounts]) -> bytes:
    """A PNG of stacked bars: a panel for each rung and run, a bar for each style."""

    def paint(figure: Figure) -> None:
        panels = grid_of(figure, len(counts), columns=4)
        for axes, one in zip(panels, counts, strict=True):
            _bars(axes, one)
        if panels:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(KINDS))

    rows = -(-len(counts) // 4)
    return draw(paint, size=(12, 2.4 * max(1, rows) + 0.4))


def _bars(axes: Axes, counts: FailureCounts) -> None:
    styles = list(counts.by_style)[::-1]  # the first style on top
    left = [0.0] * len(styles)
    for kind in KINDS:
        totals = [sum(counts.by_style[style].values()) for style in styles]
        shares = [
            100 * counts.by_style[style][kind] / total
            for style, total in zip(styles, totals, strict=True)
        ]
        axes.barh(
            styles,
            shares,
            left=left,
            color=KIND_COLOURS[kind],
            label=kind,
            edgecolor=PAPER,
            linewidth=0.5,
        )
        left = [start + share for start, share in zip(left, shares, strict=True)]
    axes.set_xlim(0, 100)
    axes.grid(False)
    axes.set_xlabel("% of expressions")
    axes.set_title(counts.title)
