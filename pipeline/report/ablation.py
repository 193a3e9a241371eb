"""Variants over their seeds: mean, spread and a publication's figures, as CSV and as tables.

A spread is the sample standard deviation between the seeds, in points of percent. A publication
speaks of its own dataset, so its figures stand beside ours to compare the order of the variants.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.evaluation.styles import STYLES
from pipeline.report.ladder import GROUP_METRICS, WORDS
from pipeline.report.measured import RUNGS, Figures, MeasuredRun, average, metrics_in
from pipeline.report.published import Published
from pipeline.report.tables import NOTHING, Cell, Row, Table

ALL = "all"  # sentences, whatever their style
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """The values of a metric, one a seed, in percent."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.mean(self.values)

    @property
    def deviation(self) -> float | None:
        """None for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def cell(self) -> Cell:
        return Cell(f"{self.mean:.1f}", "" if self.deviation is None else f"± {self.deviation:.1f}")


@dataclass(frozen=True, slots=True)
class Variant:
    """A setting and the runs that differ in nothing but their seed."""

    name: str
    runs: tuple[MeasuredRun, ...]

    def figures(self, rung: str, split: str, style: str = ALL) -> list[Figures]:
        """Of every seed that has any."""
        found = [run.figures(rung, split) for run in self.runs]
        if style != ALL:
            found = [(one or {}).get("by_style", {}).get(style) for one in found]
        return [one for one in found if one is not None]

    def spread(self, rung: str, split: str, metric: str, style: str = ALL) -> Spread | None:
        values = [average(one, metric) for one in self.figures(rung, split, style)]
        known = tuple(value for value in values if value is not None)
        return Spread(known) if known else None


def rungs_in(variants: Sequence[Variant], split: str) -> list[str]:
    """The rungs that any variant was measured on."""
    return [rung for rung in RUNGS if any(variant.figures(rung, split) for variant in variants)]


def metrics_of(variants: Sequence[Variant], rung: str, split: str, style: str = ALL) -> list[str]:
    """The metrics that any variant has there, in their order."""
    names = (
        name
        for variant in variants
        for figures in variant.figures(rung, split, style)
        for name in metrics_in(figures)
    )
    return list(dict.fromkeys(names))


def ablation_csv(variants: Sequence[Variant], published: Sequence[Published]) -> str:
    """A row a variant, split, rung, style and metric, with a column for each publication.

    A publication's figures stand in the rows of its split, of all styles.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = ("variant", "split", "rung", "style", "metric", "seeds", "mean", "spread")
    writer.writerow([*keys, *(f"published: {one.table}" for one in published)])
    splits = dict.fromkeys(s for v in variants for run in v.runs for s in run.splits())
    for variant in variants:
        for split in splits:
            for rung, style, metric, spread in _spreads(variant, split):
                deviation = spread.deviation
                beside = [
                    one.figure(variant.name, metric)
                    if (split, rung, style) == (one.split, one.rung, ALL)
                    else None
                    for one in published
                ]
                row = [variant.name, split, rung, style, metric, len(spread.values)]
                row += [_rounded(spread.mean), _rounded(deviation)]
                writer.writerow([*row, *map(_rounded, beside)])
    return text.getvalue()


def _spreads(variant: Variant, split: str) -> Iterator[tuple[str, str, str, Spread]]:
    """Rung, style, metric and values of everything that a variant was measured for."""
    for rung in RUNGS:
        for style in (ALL, *STYLES):
            for metric in metrics_of([variant], rung, split, style):
                spread = variant.spread(rung, split, metric, style)
                if spread is not None:
                    yield rung, style, metric, spread


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.{DECIMALS}f}"


def ablation_tables(
    variants: Sequence[Variant], published: Sequence[Published], *, split: str
) -> list[Table]:
    """Two tables for each rung: all sentences with what was published, and by style."""
    tables = []
    for rung in rungs_in(variants, split):
        beside = [one for one in published if (one.split, one.rung) == (split, rung)]
        tables += [_overall(variants, beside, rung, split), _by_style(variants, rung, split)]
    return tables


def _overall(
    variants: Sequence[Variant], published: Sequence[Published], rung: str, split: str
) -> Table:
    metrics = metrics_of(variants, rung, split)
    columns = {one.table: _metrics_published(one, metrics) for one in published}
    rows = []
    for variant in variants:
        ours = [variant.spread(rung, split, metric) for metric in metrics]
        theirs = [
            one.figure(variant.name, metric) for one in published for metric in columns[one.table]
        ]
        cells = [NOTHING if spread is None else spread.cell for spread in ours]
        cells += [NOTHING if value is None else Cell(f"{value:.1f}") for value in theirs]
        rows.append(Row((variant.name, str(len(variant.runs))), tuple(cells)))
    if published:
        agreement = [
            Cell(_agreement(variants, one, rung, split, metric))
            for one in published
            for metric in columns[one.table]
        ]
        words = ("pairs of variants in the published order", "")
        rows.append(Row(words, (Cell(""),) * len(metrics) + tuple(agreement), "total"))
    spans = [(f"this run, {split}", len(metrics))]
    spans += [(table, len(names)) for table, names in columns.items()]
    return Table(
        caption=f"{WORDS[rung].capitalize()}, split {split}: mean over seeds and their sample "
        "standard deviation, percent",
        labels=("variant", "seeds"),
        columns=(*metrics, *(name for names in columns.values() for name in names)),
        rows=tuple(rows),
        spans=tuple(spans) if published else (),
    )


def _metrics_published(published: Published, order: Sequence[str]) -> list[str]:
    """The metrics that a publication gives, in the order of ours."""
    names = {name for figures in published.figures.values() for name in figures}
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def _agreement(
    variants: Sequence[Variant], published: Published, rung: str, split: str, metric: str
) -> str:
    """In how many pairs of variants the better one here is the better one there."""
    pairs = []
    for variant in variants:
        ours = variant.spread(rung, split, metric)
        theirs = published.figure(variant.name, metric)
        if ours is not None and theirs is not None:
            pairs.append((ours.mean, theirs))
    alike = [(a - b) * (x - y) > 0 for (a, x), (b, y) in combinations(pairs, 2)]
    return f"{sum(alike)} of {len(alike)}"


def _by_style(variants: Sequence[Variant], rung: str, split: str) -> Table:
    styles = [style for style in STYLES if any(v.figures(rung, split, style) for v in variants)]
    metrics = [m for m in GROUP_METRICS if m in metrics_of(variants, rung, split)]
    rows = []
    for variant in variants:
        found = [variant.spread(rung, split, m, style) for style in styles for m in metrics]
        cells = tuple(NOTHING if spread is None else spread.cell for spread in found)
        rows.append(Row((variant.name, str(len(variant.runs))), cells))
    return Table(
        caption=f"{WORDS[rung].capitalize()} by sentence style, split {split}",
        labels=("variant", "seeds"),
        columns=tuple(metrics) * len(styles),
        rows=tuple(rows),
        spans=tuple((style, len(metrics)) for style in styles),
    )
