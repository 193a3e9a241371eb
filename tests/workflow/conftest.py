"""A copy of the repository with small files in place of what the steps make.

Snakemake and the Snakefile are the real ones; only the artifacts are fakes, marked up to date by
``snakemake --touch``. One copy serves all tests: each puts back what it changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.layout import Layout
from pipeline.workflow.dvc import Job, description, planned_jobs

REPOSITORY = Path(__file__).parents[2]
COPIED = ("Snakefile", "config.yaml", "pipeline", "profiles", "slurm", "envs", ".dvc", ".dvcignore")

AFTER_THE_LOCALIZER = (  # stages of dvc.yaml, in order
    "respond-weak",
    "refine-weak",
    "train_segmentor-weak",
    "segment-weak",
    "evaluate-weak",
    "report",
)


@dataclass(frozen=True)
class Workspace:
    """The copy, the jobs of a run from nothing, and a way to run programs in it."""

    root: Path
    jobs: list[Job]
    call: Callable[..., subprocess.CompletedProcess[str]]

    def planned(self, *arguments: str) -> set[str]:
        """The stages that Snakemake would run with these arguments."""
        return {job.stage for job in planned_jobs(*arguments, root=self.root)}


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("repository")
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp")
            shutil.copytree(source, root / name, ignore=ignored)
        else:
            shutil.copy2(source, root / name)

    hidden = ("SNAKEMAKE_PROFILE", "DVC_STAGE", "DVC_ROOT", "GIT_DIR")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    jobs = planned_jobs("--forceall", root=root)
    metrics = str(Layout.of(load([root / "config.yaml"])).ladder)
    (root / "dvc.yaml").write_text(description(jobs, metrics=metrics), encoding="utf-8")
    for output in (root / path for job in jobs for path in job.outputs):
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix:
            output.write_text('{"made": "by hand"}' if output.suffix == ".json" else output.name)
        else:
            output.mkdir()
            (output / "file").write_text(output.name)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    done = call("snakemake", "--cores", "1", "--touch", "--forceall")
    assert done.returncode == 0, done.stdout + done.stderr
    return Workspace(root, jobs, call)
