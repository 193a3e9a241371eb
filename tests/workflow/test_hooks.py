"""One run at a time, and one configuration for all its jobs."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from pipeline.config import load
from pipeline.safety import InputError
from pipeline.workflow import flow_of, hold_run_lock, write_resolved
from pipeline.workflow import hooks as hooks_module

from .conftest import Workspace


def test_a_second_run_is_refused_and_told_who_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_module, "_held", [])
    monkeypatch.setenv("DVC_STAGE", "refine-weak")
    lock = tmp_path / ".snakemake" / "run.lock"
    hold_run_lock(lock)
    with pytest.raises(InputError, match=r"another run is at work.*dvc stage refine-weak"):
        hold_run_lock(lock)
    hooks_module._held.pop().close()
    hold_run_lock(lock)
    hooks_module._held.pop().close()


def test_snakemake_stops_when_another_run_is_at_work(workspace: Workspace) -> None:
    with (workspace.root / ".snakemake" / "run.lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = workspace.call("snakemake", "--cores", "1", "--touch", "--forceall")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "another run is at work" in text
    assert "Traceback" not in text


def test_the_jobs_read_the_merged_configuration(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = load([repository / "config.yaml"]).model_dump(mode="json")
    content["seed"] += 1
    flow = flow_of(content, base=repository / "config.yaml")
    monkeypatch.chdir(tmp_path)
    write_resolved(flow)
    assert load([flow.resolved]) == flow.config


def test_the_miniature_is_never_drawn_over_data_of_ones_own(repository: Path) -> None:
    content = load([repository / "config.yaml"]).model_dump(mode="json")
    content["dataset"]["folder"] = "/home/me/coco"
    with pytest.raises(InputError, match=r"dataset\.folder.*source: folder"):
        flow_of(content, base=repository / "config.yaml")
    content["dataset"]["source"] = "folder"
    assert not flow_of(content, base=repository / "config.yaml").draws_its_data
