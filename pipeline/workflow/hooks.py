"""What happens around a run of the workflow: one run at a time, one configuration, then DVC.

Snakemake's own lock covers the files of its targets only, and a run that ends clears the whole
lock folder: two runs on different targets, or ``snakemake`` beside ``dvc repro``, can overwrite
one another. The lock here is the kernel's: it is held until the process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import yaml

from pipeline.config import load
from pipeline.safety import InputError
from pipeline.store import atomic_path
from pipeline.workflow.flow import Flow


def use_this_python() -> None:
    """Let the jobs find the Python that runs Snakemake, whether or not its environment is active.

    Under ``--sdm conda`` the job's own environment still comes before it.
    """
    folder = str(Path(sys.executable).parent)
    if os.environ["PATH"].split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])


_held: list[IO[str]] = []


def hold_run_lock(path: Path = Path(".snakemake/run.lock")) -> None:
    """Keep every other run out of this folder until this process ends.

    :class:`InputError` if another run is at work. A file system that cannot lock is no obstacle.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            file.close()
            return
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise InputError(
            f"another run is at work in this folder ({holder}). snakemake and dvc repro must not "
            "run at the same time: wait for it to end, or stop it"
        ) from None
    stage = os.environ.get("DVC_STAGE")
    file.truncate(0)
    file.write(f"process {os.getpid()}, {f'dvc stage {stage}' if stage else 'snakemake'}\n")
    file.flush()
    _held.append(file)


def write_resolved(flow: Flow) -> None:
    """Write the merged configuration where the jobs, on this machine or another, read it.

    Written once a run: a job that starts an hour later still sees what the run began with.
    """
    flow.resolved.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(flow.config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    with atomic_path(flow.resolved) as partial:
        partial.write_text(text, encoding="utf-8")


def commit_to_dvc(flow: Flow, outputs: Iterable[str]) -> None:
    """Tell DVC which stages are finished, so that ``dvc repro`` has nothing left to do.

    ``outputs``: every file of the jobs that this run brought or found up to date. A stage counts if
    all its outs are among them. Nothing happens where there is no DVC or no git, where DVC itself
    is the caller, or where the run's configuration is not the one that dvc.yaml was made from.
    """
    if "DVC_STAGE" in os.environ or find_spec("dvc") is None:
        return
    if not (Path(".dvc").is_dir() and Path(".git").exists() and Path("dvc.yaml").is_file()):
        return
    if flow.config != load([Path("config.yaml")]):
        return
    stages = finished_stages(yaml.safe_load(Path("dvc.yaml").read_text("utf-8")), set(outputs))
    if not stages:
        return
    command = [sys.executable, "-m", "dvc", "commit", "--force", *stages]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"dvc commit failed, DVC does not know of this run:\n{done.stderr}", file=sys.stderr)


def finished_stages(description: dict[str, Any], outputs: set[str]) -> list[str]:
    """The stages of a dvc.yaml whose every out and metric is among ``outputs``."""
    finished = []
    for name, stage in description["stages"].items():
        entries = [*stage.get("outs", []), *stage.get("metrics", [])]
        if {path for entry in entries for path in entry} <= outputs:
            finished.append(name)
    return finished
