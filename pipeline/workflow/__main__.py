"""``python -m pipeline.workflow``: write dvc.yaml, or hold a finished run against its floor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.config import load
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.store import atomic_path, read_json
from pipeline.workflow.dvc import description, planned_jobs
from pipeline.workflow.floor import cost_checks, quality_checks, read_spans, table


def write_dvc() -> int:
    """Write dvc.yaml for the default configuration."""
    ladder = Layout.of(load([Path("config.yaml")])).ladder
    text = description(planned_jobs("--forceall"), metrics=str(ladder))
    with atomic_path(Path("dvc.yaml")) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


def hold_against_floor(wall: float) -> int:
    """Print value beside floor; 1 if any floor is missed."""
    config = load([Path("config.yaml")])
    layout = Layout.of(config)
    checks = quality_checks(
        read_json(layout.metrics),
        dataset=config.dataset.name,
        weak="weak",
        supervised="supervised",
        split=config.dataset.headline,
    )
    checks += cost_checks(read_spans(layout.results / "benchmarks"), wall=wall)
    print(table(checks))
    return 0 if all(check.holds for check in checks) else 1


def main() -> int:
    """Run one of the two commands; a mistake ends in a clear message and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.workflow", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("dvc", help="write dvc.yaml from the workflow")
    floor = commands.add_parser("floor", help="hold results/metrics.json against the floor")
    floor.add_argument("--wall", type=float, required=True, help="seconds the run took")
    arguments = parser.parse_args()
    try:
        return write_dvc() if arguments.command == "dvc" else hold_against_floor(arguments.wall)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
