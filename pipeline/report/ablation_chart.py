"""Variants over their seeds at a glance: a row of panels for each rung and metric."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.styles import STYLES
from pipeline.report.ablation import ALL, Variant, metrics_of, rungs_in
from pipeline.report.drawing import COLOURS, INK, draw
from pipeline.report.ladder import GROUP_METRICS, WORDS
from pipeline.report.published import Published

MARKS = "Ds^vP"  # of publications; a chart of more would tell nobody anything


def ablation_chart(
    variants: Sequence[Variant], published: Sequence[Published], *, split: str
) -> bytes:
    """A PNG: variants down, all sentences and each style across.

    A point is the mean, its whisker the standard deviation, small points are the seeds. Open marks
    are published figures, of all sentences.
    """
    rows = [
        (rung, metric)
        for rung in rungs_in(variants, split)
        for metric in GROUP_METRICS
        if metric in metrics_of(variants, rung, split)
    ]
    names = (ALL, *STYLES)

    def paint(figure: Figure) -> None:
        if not rows:
            figure.text(0.5, 0.5, f"Nothing was measured on {split}", ha="center")
            return
        grid = figure.subplots(len(rows), len(names), squeeze=False, sharey=True, sharex="row")
        for (rung, metric), line in zip(rows, grid, strict=True):
            for axes, style in zip(line, names, strict=True):
                _panel(axes, variants, rung, split, metric, style)
                axes.set_title(f"{WORDS[rung]}, {metric}\n{style}")
            _published(line[0], variants, published, (split, rung), metric)
        for axes in grid[-1]:
            axes.set_xlabel("%")
        found = [line[0].get_legend_handles_labels() for line in grid]
        tables = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
        if tables:
            figure.legend(tables.values(), tables.keys(), loc="outside lower center", ncols=2)

    height = max(1, len(rows)) * (1.2 + 0.26 * len(variants)) + 0.4
    return draw(paint, size=(12, height))


def _panel(
    axes: Axes, variants: Sequence[Variant], rung: str, split: str, metric: str, style: str
) -> None:
    """The first variant on top."""
    axes.set_yticks(range(len(variants)), [variant.name for variant in variants])
    axes.set_ylim(len(variants) - 0.5, -0.5)
    axes.grid(True, axis="x")
    for place, variant in enumerate(variants):
        spread = variant.spread(rung, split, metric, style)
        if spread is None:
            continue
        colour = COLOURS[place % len(COLOURS)]
        axes.scatter(spread.values, [place] * len(spread.values), s=9, color=colour, alpha=0.5)
        axes.errorbar(
            [spread.mean], [place], xerr=spread.deviation, color=colour, marker="o", capsize=3
        )


def _published(
    axes: Axes,
    variants: Sequence[Variant],
    published: Sequence[Published],
    where: tuple[str, str],
    metric: str,
) -> None:
    """The figures of (split, rung); a table has its mark in all panels."""
    for shape, one in zip(cycle(MARKS), published, strict=False):
        if (one.split, one.rung) != where:
            continue
        known = [(one.figure(v.name, metric), place) for place, v in enumerate(variants)]
        points = [(value, place) for value, place in known if value is not None]
        if points:
            axes.scatter(
                [value for value, _ in points],
                [place for _, place in points],
                marker=shape,
                s=26,
                facecolors="none",
                edgecolors=INK,
                label=one.table,
            )
