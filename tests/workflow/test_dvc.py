"""DVC keeps the history of what Snakemake made, and never does the work twice."""

from __future__ import annotations

from pathlib import Path

from pipeline.workflow.dvc import Job, parse_jobs, rooms_of
from pipeline.workflow.hooks import finished_stages

from .conftest import Workspace

DRY_RUN = """
Building DAG of jobs...
rule cut:
    input: wood.txt, pipeline/steps/cut.py
    output: planks/0.txt, planks/1.txt
    jobid: 3
    wildcards: run=weak, shard=1
    resources: tmpdir=/tmp
localrule all:
    input: planks/0.txt
    jobid: 0
"""


def test_the_jobs_of_a_dry_run_are_read() -> None:
    assert parse_jobs(DRY_RUN) == [
        Job(
            "cut",
            ["wood.txt", "pipeline/steps/cut.py"],
            ["planks/0.txt", "planks/1.txt"],
            {"run": "weak", "shard": "1"},
        )
    ]
    assert parse_jobs(DRY_RUN)[0].stage == "cut-weak"


def test_dvc_yaml_is_up_to_date(repository: Path, workspace: Workspace) -> None:
    written = (workspace.root / "dvc.yaml").read_text()
    assert (repository / "dvc.yaml").read_text() == written, "run `make dvc`"


def test_a_room_stands_for_its_sources_but_steps_stay_apart() -> None:
    paths = {
        "pipeline/store/maps.py",
        "pipeline/store/deep/rows.py",
        "pipeline/store/page.html.j2",
        "pipeline/steps/report.py",
        "pipeline/losses.py",
        "artifacts/runs/weak/curves.csv",
    }
    assert rooms_of(paths) == [
        "artifacts/runs/weak/curves.csv",
        "pipeline/losses.py",
        "pipeline/steps/report.py",
        "pipeline/store",
    ]


def test_a_stage_is_finished_when_all_its_outs_are() -> None:
    stages = {
        "whole": {"outs": [{"a": {"persist": True}}], "metrics": [{"m": {"persist": True}}]},
        "half": {"outs": [{"a": {"persist": True}}, {"b": {"persist": True}}]},
    }
    assert finished_stages({"stages": stages}, {"a", "m"}) == ["whole"]


def test_after_snakemake_dvc_has_nothing_to_do(workspace: Workspace) -> None:
    done = workspace.call("dvc", "repro")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "Data and pipelines are up to date" in text
    assert "Running stage" not in text


def test_dvc_sees_a_changed_artifact(workspace: Workspace) -> None:
    page = workspace.root / "results" / "report.html"
    before = page.read_text()
    page.write_text("changed by hand")
    try:
        done = workspace.call("dvc", "status")
    finally:
        page.write_text(before)
    assert "results/report.html" in done.stdout
