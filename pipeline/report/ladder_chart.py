"""The ladder at a glance: mIoU and PointM of each rung of the headline split, and mIoU by style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.styles import STYLES
from pipeline.report.drawing import COLOURS, INK, draw
from pipeline.report.ladder import WORDS
from pipeline.report.measured import (
    RUNGS,
    Figures,
    MeasuredRun,
    average,
    interval,
    main_run,
    reference_run,
)

FLOORS: dict[str, str] = {"random_object": ":", "whole_image": "-."}
REFERENCE = COLOURS[2]


def ladder_chart(runs: Sequence[MeasuredRun], *, split: str) -> bytes:
    """A PNG of three panels; whiskers are 95 % intervals."""

    def paint(figure: Figure) -> None:
        climb, pointing, styles = figure.subplots(1, 3)
        _climb(climb, runs, split, "mIoU")
        climb.set_title(f"mIoU, {split}")
        _climb(pointing, runs, split, "PointM")
        pointing.set_title(f"Peak in the object (PointM), {split}")
        _styles(styles, runs, split)
        styles.set_title("mIoU by sentence style")

    return draw(paint, size=(12, 3.9))


def _climb(axes: Axes, runs: Sequence[MeasuredRun], split: str, metric: str) -> None:
    """A line a weakly supervised run; the reference and the baselines as levels."""
    weak = [run for run in runs if not run.supervised]
    rungs = [
        rung
        for rung in RUNGS
        if any(average(run.figures(rung, split), metric) is not None for run in weak)
    ]
    for index, run in enumerate(weak):
        shift = 0.06 * (index - (len(weak) - 1) / 2)
        found = [(place, run.figures(rung, split)) for place, rung in enumerate(rungs)]
        known = [
            (place, figures) for place, figures in found if average(figures, metric) is not None
        ]
        axes.errorbar(
            [place + shift for place, _ in known],
            [average(figures, metric) or 0.0 for _, figures in known],
            yerr=_whiskers([figures for _, figures in known], metric),
            color=COLOURS[index % len(COLOURS)],
            marker="o",
            capsize=3,
            label=run.name,
        )
    reference = reference_run(runs)
    if reference is not None:
        _level(axes, reference.figures("segmentor", split), metric, REFERENCE, "--", reference.name)
    for name, style in FLOORS.items():
        figures = main_run(runs).figures(name, split)
        _level(axes, figures, metric, INK, style, name.replace("_", " "))
    axes.set_xticks(range(len(rungs)), [WORDS[rung] for rung in rungs])
    axes.set_xlim(-0.4, max(1, len(rungs)) - 0.6)
    axes.set_ylim(0, 100)
    axes.set_ylabel("%")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _level(
    axes: Axes, figures: Figures | None, metric: str, colour: str, style: str, label: str
) -> None:
    value, ends = average(figures, metric), interval(figures, metric)
    if value is None:
        return
    axes.axhline(value, color=colour, linestyle=style, linewidth=1.2, label=label)
    if ends is not None:
        axes.axhspan(*ends, color=colour, alpha=0.12, linewidth=0)


def _styles(axes: Axes, runs: Sequence[MeasuredRun], split: str) -> None:
    """Bars of the main run's rungs, and of the reference, for each style."""
    main, reference = main_run(runs), reference_run(runs)
    candidates = [
        (WORDS[rung], main.figures(rung, split), colour)
        for rung, colour in zip(RUNGS, (COLOURS[4], COLOURS[1], COLOURS[0]), strict=True)
    ]
    if reference is not None and reference is not main:
        candidates.append((reference.name, reference.figures("segmentor", split), REFERENCE))
    series = [(label, found, colour) for label, found, colour in candidates if found is not None]
    width = 0.8 / max(1, len(series))
    for index, (label, figures, colour) in enumerate(series):
        groups: Mapping[str, Figures] = figures.get("by_style", {})
        places = [place for place, style in enumerate(STYLES) if style in groups]
        parts = [groups[STYLES[place]] for place in places]
        axes.bar(
            [place + (index - (len(series) - 1) / 2) * width for place in places],
            [average(part, "mIoU") or 0.0 for part in parts],
            yerr=_whiskers(parts, "mIoU"),
            width=width * 0.92,
            color=colour,
            label=label,
            error_kw={"ecolor": INK, "elinewidth": 0.8},
        )
    axes.set_xticks(range(len(STYLES)), STYLES)
    axes.set_ylim(0, 100)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _whiskers(figures: Sequence[Figures | None], metric: str) -> list[list[float]]:
    """Distances below and above the values; none where an interval is not known."""
    below, above = [], []
    for one in figures:
        value, ends = average(one, metric) or 0.0, interval(one, metric)
        # A percentile interval of a skewed average may leave the average itself out.
        below.append(0.0 if ends is None else max(0.0, value - ends[0]))
        above.append(0.0 if ends is None else max(0.0, ends[1] - value))
    return [below, above]
