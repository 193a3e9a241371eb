"""The figures of every run, as ``evaluate`` wrote them, and the short form that DVC shows.

``Figures`` are those of :mod:`pipeline.evaluation.summary`: of one split, in percent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from pipeline.safety import InputError

Figures = Mapping[str, Any]
BySplit = Mapping[str, Figures]

RUNGS: tuple[str, ...] = ("response", "pseudo_label", "segmentor")
DECIMALS = 2


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """One run's figures: ``rungs`` and ``baselines`` map a name to the figures of each split.

    ``unmeasured``: how many expressions of a split have no mask to be measured against.
    """

    name: str
    supervised: bool
    rungs: Mapping[str, BySplit]
    baselines: Mapping[str, BySplit]
    unmeasured: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, content: Any, *, supervised: bool, source: str) -> MeasuredRun:
        """From a run's metrics.json; :class:`InputError` names ``source`` if it is another file."""
        try:
            rungs, baselines = content["rungs"], content["baselines"]
            known = {rung: dict(rungs[rung]) for rung in RUNGS if rung in rungs}
            return cls(
                name,
                supervised,
                known,
                {key: dict(baselines[key]) for key in baselines},
                dict(content.get("unmeasured", {})),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{source}: holds no figures of a run; run `ris evaluate` again"
            ) from None

    def figures(self, rung: str, split: str) -> Figures | None:
        """The figures of a rung or a baseline on a split, if it was measured there."""
        found = self.rungs.get(rung) or self.baselines.get(rung) or {}
        return found.get(split)

    def splits(self) -> list[str]:
        """Every split with figures of a rung."""
        return list(dict.fromkeys(split for rung in self.rungs.values() for split in rung))


def metrics_in(figures: Figures) -> list[str]:
    """The names of the averages in some figures, in their order."""
    return [name for name, found in figures.items() if _is_average(found)]


def average(figures: Figures | None, metric: str) -> float | None:
    """The value of a metric in percent, or None where there is none."""
    found = (figures or {}).get(metric)
    return float(found["value"]) if _is_average(found) else None


def interval(figures: Figures | None, metric: str) -> tuple[float, float] | None:
    """Its 95 % interval, or None where there is none."""
    found = (figures or {}).get(metric)
    if not _is_average(found) or found["low"] is None or found["high"] is None:
        return None
    return float(found["low"]), float(found["high"])


def _is_average(found: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(found, Mapping) and "value" in found


def plain_metrics(runs: Sequence[MeasuredRun], *, dataset: str) -> dict[str, Any]:
    """``{dataset: {run: {split: {rung: {metric: percent}}}}}``, rounded, for ``metrics.json``.

    Beside the rungs of a split lie its ``baselines``: ``{name: {metric: percent}}``, and how many
    expressions ``without_mask`` were not measured, if any.
    """

    def rounded(figures: Figures) -> dict[str, float]:
        return {name: round(figures[name]["value"], DECIMALS) for name in metrics_in(figures)}

    found: dict[str, Any] = {}
    for run in runs:
        found[run.name] = {}
        for split in dict.fromkeys((*run.splits(), *run.unmeasured)):
            entry: dict[str, Any] = {
                rung: rounded(figures[split])
                for rung, figures in run.rungs.items()
                if split in figures
            }
            baselines = {
                name: rounded(figures[split])
                for name, figures in run.baselines.items()
                if split in figures
            }
            if split in run.unmeasured:
                entry["without_mask"] = run.unmeasured[split]
            found[run.name][split] = entry | ({"baselines": baselines} if baselines else {})
    return {dataset: found}


def ladder_files(
    metrics: Mapping[str, Mapping[str, Any]], *, split: str
) -> dict[str, dict[str, float]]:
    """Each rung's figures on ``split`` by the name of its file, ``{run}/{rung}.json``.

    ``dvc metrics show`` makes a row of a file and a column of a metric: one file for all rungs
    would be a single row that nobody can read. Guesses that read no sentence are alike for all
    runs; they lie in ``baselines``.
    """
    found: dict[str, dict[str, float]] = {}
    for run, splits in metrics.items():
        entry = splits.get(split, {})
        for name, figures in entry.items():
            if name == "baselines":
                found |= {f"baselines/{guess}.json": figures[guess] for guess in figures}
            elif isinstance(figures, Mapping):
                found[f"{run}/{name}.json"] = dict(figures)
    return found


def main_run(runs: Sequence[MeasuredRun]) -> MeasuredRun:
    """The run that the page speaks of first: the first weakly supervised one, else the first."""
    return next((run for run in runs if not run.supervised), runs[0])


def last_rung(run: MeasuredRun, split: str) -> str | None:
    """The highest rung that was measured on a split; None if nothing of it has a mask."""
    measured = (rung for rung in reversed(RUNGS) if run.figures(rung, split) is not None)
    return next(measured, None)


def reference_run(runs: Sequence[MeasuredRun]) -> MeasuredRun | None:
    """The fully supervised run that the others are held against, if there is one."""
    return next((run for run in runs if run.supervised), None)
