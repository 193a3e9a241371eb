"""``dvc.yaml``, written from the workflow: Snakemake is the only engine, DVC keeps the history.

Each stage is a rule (of a run); its command asks Snakemake for the rule's outputs. ``persist``
keeps DVC from deleting them first, which would make Snakemake rerun what is up to date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.runs import STEP_KEYS
from pipeline.safety import InputError

HEADER = "# Written by `make dvc` from the Snakefile and config.yaml. Do not edit.\n"


@dataclass(slots=True)
class Job:
    """One job of a dry run."""

    rule: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    wildcards: dict[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """The rule and the run; the shards of a step are one stage."""
        run = self.wildcards.get("run")
        return f"{self.rule}-{run}" if run else self.rule


def planned_jobs(*arguments: str, root: Path = Path(".")) -> list[Job]:
    """The jobs that ``snakemake --dry-run`` would run with these arguments, in ``root``.

    :class:`InputError` with Snakemake's own words if it refuses.
    """
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}
    done = subprocess.run(
        command, cwd=root, env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise InputError(f"snakemake --dry-run failed:\n{done.stdout}{done.stderr}")
    return parse_jobs(done.stdout + done.stderr)


def parse_jobs(text: str) -> list[Job]:
    """The jobs in the words of a dry run, without ``all``."""
    jobs: list[Job] = []
    for line in text.splitlines():
        if start := re.match(r"(?:local)?rule (\w+):$", line):
            jobs.append(Job(start[1]))
        elif jobs and (entry := re.match(r"    (input|output|wildcards): (.+)$", line)):
            values = entry[2].split(", ")
            if entry[1] == "wildcards":
                jobs[-1].wildcards = dict(value.split("=", 1) for value in values)
            else:
                setattr(jobs[-1], f"{entry[1]}s", values)
    return [job for job in jobs if job.rule != "all"]


def stages_of(jobs: list[Job], *, metrics: str) -> dict[str, Any]:
    """The stages of dvc.yaml in the order of the flow. ``metrics``: what DVC shows as such."""
    steps = list(STEP_KEYS)
    ordered = sorted(jobs, key=lambda job: (steps.index(job.rule), job.stage, job.outputs))
    grouped: dict[str, list[Job]] = {}
    for job in ordered:
        grouped.setdefault(job.stage, []).append(job)
    return {name: _stage(group, metrics) for name, group in grouped.items()}


def _stage(group: list[Job], metrics: str) -> dict[str, Any]:
    outputs = [path for job in group for path in job.outputs]
    keys = {*STEP_KEYS[group[0].rule], *(["runs"] if "run" in group[0].wildcards else [])}
    stage: dict[str, Any] = {
        "cmd": f"snakemake --cores all {' '.join(outputs)}",
        "deps": rooms_of({path for job in group for path in job.inputs}),
        "params": [{"config.yaml": sorted(keys)}],
        "outs": [{path: {"persist": True}} for path in outputs if path != metrics],
    }
    if metrics in outputs:
        stage["metrics"] = [{metrics: {"persist": True}}]
    return stage


def rooms_of(paths: set[str]) -> list[str]:
    """``paths``, sorted, with the room (``pipeline/<folder>``) in place of its files.

    Coarser than the rules' own inputs, so that dvc.yaml outlives most edits: where DVC asks for a
    step too often, Snakemake finds that nothing is to be done. The steps stay apart.
    """
    found = set()
    for path in paths:
        parts = Path(path).parts
        is_in_room = parts[0] == "pipeline" and len(parts) > 2 and parts[1] != "steps"
        found.add("/".join(parts[:2]) if is_in_room else path)
    return sorted(found)


def description(jobs: list[Job], *, metrics: str) -> str:
    """The text of dvc.yaml for the jobs of a forced dry run."""
    content = {"stages": stages_of(jobs, metrics=metrics), "plots": _plots(jobs)}
    return HEADER + yaml.safe_dump(content, sort_keys=False, width=100)


def _plots(jobs: list[Job]) -> list[dict[str, Any]]:
    curves = sorted(path for job in jobs for path in job.outputs if path.endswith("curves.csv"))
    return [{path: {"x": "step", "y": "loss"}} for path in curves]
