"""The quality ladder as tables: every rung of every run, with baselines and reference."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from pipeline.evaluation.summary import GROUPS
from pipeline.report.measured import (
    RUNGS,
    Figures,
    MeasuredRun,
    average,
    main_run,
    metrics_in,
    reference_run,
)
from pipeline.report.published import Published
from pipeline.report.tables import NOTHING, Cell, Row, Table, figure_cell

WORDS: dict[str, str] = {
    "response": "response map",
    "pseudo_label": "pseudo-label",
    "segmentor": "segmentor",
}
GROUP_METRICS: tuple[str, ...] = ("mIoU", "PointM")
GROUP_TITLES: dict[str, str] = {"style": "sentence style", "size": "object size"}

Families = Mapping[str, Sequence[str]]
"""Name of a setting -> the runs that differ in nothing but their seed."""


def ladder_table(
    runs: Sequence[MeasuredRun],
    *,
    split: str,
    families: Families,
    published: Sequence[Published],
) -> Table:
    """Rungs, baselines and what is published of them down, metrics across, for one split."""
    rows = list(_rows(runs, split))
    beside = [one for one in published if one.split == split]
    named = [name for *_, figures in rows for name in metrics_in(figures)]
    named += [name for one in beside for figures in one.figures.values() for name in figures]
    metrics = list(dict.fromkeys(named))
    drawn = [
        Row((label, rung), tuple(figure_cell(figures, name) for name in metrics), kind)
        for label, rung, kind, figures in rows
    ]
    return Table(
        caption=_caption(runs, split),
        labels=("run", "rung"),
        columns=tuple(metrics),
        rows=(
            *drawn,
            *_seed_rows(runs, split, metrics, families),
            *_published_rows(beside, metrics),
        ),
    )


def group_table(runs: Sequence[MeasuredRun], *, split: str, group: str) -> Table:
    """The same rows with mIoU and PointM of each group; ``group`` is style or size."""
    rows = list(_rows(runs, split))
    names = [
        name
        for name in GROUPS[group]
        if any(name in figures.get(f"by_{group}", {}) for *_, figures in rows)
    ]
    counts = {
        name: figures[f"by_{group}"][name]["count"]
        for *_, figures in rows
        for name in names
        if name in figures.get(f"by_{group}", {})
    }
    drawn = tuple(
        Row(
            (label, rung),
            tuple(
                figure_cell(figures.get(f"by_{group}", {}).get(name), metric)
                for name in names
                for metric in GROUP_METRICS
            ),
            kind,
        )
        for label, rung, kind, figures in rows
    )
    return Table(
        caption=f"By {GROUP_TITLES[group]}, split {split}",
        labels=("run", "rung"),
        columns=GROUP_METRICS * len(names),
        rows=drawn,
        spans=tuple((f"{name} ({counts[name]})", len(GROUP_METRICS)) for name in names),
    )


def _rows(runs: Sequence[MeasuredRun], split: str) -> Iterator[tuple[str, str, str, Figures]]:
    """Run, rung, kind of row and figures: the main run first, then the others, then baselines."""
    main, reference = main_run(runs), reference_run(runs)
    for run in (main, *(run for run in runs if run is not main)):
        kind = "main" if run is main else "reference" if run is reference else ""
        for rung in RUNGS:
            figures = run.figures(rung, split)
            if figures is not None:
                label = f"{run.name} (true masks)" if run.supervised else run.name
                yield label, WORDS[rung], kind, figures
    for name in main.baselines:
        figures = main.figures(name, split)
        if figures is not None:
            yield "baseline", name.replace("_", " "), "baseline", figures


def _seed_rows(
    runs: Sequence[MeasuredRun], split: str, metrics: Sequence[str], families: Families
) -> Iterator[Row]:
    """Mean and standard deviation over the seeds of each family of at least two runs."""
    by_name = {run.name: run for run in runs}
    for family, members in families.items():
        if len(members) < 2:
            continue
        for rung in RUNGS:
            found = [by_name[name].figures(rung, split) for name in members]
            cells = tuple(_spread(found, metric) for metric in metrics)
            if any(cell is not NOTHING for cell in cells):
                yield Row((f"{family}, {len(members)} seeds", WORDS[rung]), cells, "seeds")


def _published_rows(published: Sequence[Published], metrics: Sequence[str]) -> Iterator[Row]:
    """A publication's figures, one row for each of our settings that it speaks of."""
    for one in published:
        for variant in one.figures:
            found = [one.figure(variant, metric) for metric in metrics]
            cells = (NOTHING if value is None else Cell(f"{value:.1f}") for value in found)
            yield Row((f"{variant} in {one.table}", WORDS[one.rung]), tuple(cells), "published")


def _spread(found: Sequence[Figures | None], metric: str) -> Cell:
    values = [value for figures in found if (value := average(figures, metric)) is not None]
    if len(values) < 2:
        return NOTHING
    return Cell(f"{statistics.mean(values):.1f}", f"± {statistics.stdev(values):.1f}")


def _caption(runs: Sequence[MeasuredRun], split: str) -> str:
    for *_, figures in _rows(runs, split):
        return (
            f"Split {split}: {figures['count']} expressions of {figures['images']} images. "
            "Percent, with 95 % bootstrap intervals over images"
        )
    return f"Split {split}"
