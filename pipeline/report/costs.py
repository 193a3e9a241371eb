"""What every step cost: Snakemake's benchmark files, one TSV a job."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.report.tables import NOTHING, Cell, Row, Table


@dataclass(frozen=True, slots=True)
class Cost:
    """One job: seconds of wall time, processor seconds and peak resident memory in MB.

    ``memory`` and ``processor`` are None where the job ended before Snakemake looked.
    """

    job: str
    step: str
    seconds: float
    processor: float | None
    memory: float | None


def read_costs(folder: str | Path, *, steps: Sequence[str], runs: Collection[str]) -> list[Cost]:
    """The jobs of these ``steps`` and ``runs``, in the order of the flow; files of others are
    passed over (a run that is gone leaves its file). A folder that is missing has none.
    """
    found = []
    for place, step in enumerate(steps):
        for path in sorted(Path(folder).glob(f"{step}*.tsv")):
            if _belongs(path.stem, step, runs) and (cost := _read(path, step)) is not None:
                found.append((place, path.stem, cost))
    return [cost for _, _, cost in sorted(found, key=lambda item: item[:2])]


def _belongs(job: str, step: str, runs: Collection[str]) -> bool:
    """Is it the step itself, a shard of it, the step of a run, or a shard of that?"""
    rest = job.removeprefix(step)
    if not rest:
        return True
    if not rest.startswith("-"):
        return False
    name = rest[1:]
    return name.isdigit() or name in runs or _without_shard(name) in runs


def _without_shard(name: str) -> str | None:
    run, dash, shard = name.rpartition("-")
    return run if dash and shard.isdigit() else None


def _read(path: Path, step: str) -> Cost | None:
    """None for a file that was cut short."""
    with path.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"), None)
    seconds = _number(row.get("s")) if row else None
    if row is None or seconds is None:
        return None
    return Cost(path.stem, step, seconds, _number(row.get("cpu_time")), _number(row.get("max_rss")))


def _number(text: str | None) -> float | None:
    """Snakemake writes NA or - for what it could not measure."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def costs_table(costs: Sequence[Cost]) -> Table:
    """A row a job and a total; memory in MB."""
    rows = [
        Row(
            (cost.job,),
            (
                Cell(duration(cost.seconds)),
                NOTHING if cost.processor is None else Cell(duration(cost.processor)),
                NOTHING if cost.memory is None else Cell(f"{cost.memory:,.0f}"),
            ),
        )
        for cost in costs
    ]
    processor = sum(cost.processor or 0.0 for cost in costs)
    peak = max((cost.memory or 0.0 for cost in costs), default=0.0)
    total = (Cell(duration(total_seconds(costs))), Cell(duration(processor)), Cell(f"{peak:,.0f}"))
    return Table(
        caption="Time and peak memory of every job",
        labels=("job",),
        columns=("wall time", "processor time", "peak memory (MB)"),
        rows=(*rows, Row(("all jobs, one after another",), total, "total")),
    )


def total_seconds(costs: Sequence[Cost]) -> float:
    """Wall time of all jobs as if none ran beside another."""
    return sum(cost.seconds for cost in costs)


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
