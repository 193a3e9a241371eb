"""PCNet in the workflow: cues and proposals come in where its runs need them, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.config import Config, check, merge, read_yaml
from pipeline.layout import Layout
from pipeline.runs import owner
from pipeline.workflow import flow_of
from pipeline.workflow.dvc import planned_jobs
from tests.conftest import Trained
from tests.repository import ROOT, Copy

from .conftest import Workspace

PCNET = {"localizer": {"method": "pcnet"}}
NO_REGIONS = {"pcnet": {"loss_weights": {"shrinking": 0, "disambiguation": 0}}}


def config(**runs: dict[str, Any]) -> Config:
    """The default run's configuration with these runs beside `weak`."""
    return check(merge(read_yaml(ROOT / "config.yaml"), {"runs": runs}))


def test_runs_read_what_their_localizer_needs() -> None:
    found = config(pcnet=PCNET, bare=PCNET | NO_REGIONS)
    flow, layout = flow_of(found.model_dump(mode="json")), Layout.of(found)
    for run, cues, proposals in (
        ("weak", [], []),
        ("supervised", [], []),
        ("bare", layout.all_cues, []),
        ("pcnet", layout.all_cues, layout.all_proposals),
    ):
        assert (flow.cues(run), flow.learned_proposals(run)) == (cues, proposals)


def test_runs_share_what_the_answering_stage_does_not_change() -> None:
    first = PCNET | {"pcnet": {"crm": {"answer": 0}}}
    two = PCNET | {"pcnet": {"crm": {"stages": 2}}}
    found = config(pcnet=PCNET, first=first, two=two)
    assert owner(found, "first", "train_localizer") == "pcnet"
    assert owner(found, "first", "respond") == "first"
    assert owner(found, "two", "train_localizer") == "two"


def test_the_plan_has_cues_for_its_runs_alone_and_no_truth(workspace: Workspace) -> None:
    overlay = "runs={pcnet: {localizer: {method: pcnet}}}"
    backend = "cues={backend: rules}"
    jobs = planned_jobs("--forceall", "--config", overlay, backend, root=workspace.root)
    assert "decompose" in {job.rule for job in jobs}
    assert "decompose" not in {job.rule for job in workspace.jobs}
    weak = {job.stage: job for job in jobs if job.rule in ("decompose", "train_localizer")}
    assert not [path for job in weak.values() for path in job.inputs if "truth" in path]
    for stage, cues, proposals in (
        ("train_localizer-pcnet", 2, 2),
        ("train_localizer-weak", 0, 0),
    ):
        read = weak[stage].inputs
        assert sum("/cues-" in path for path in read) == cues
        assert sum("/proposals-" in path for path in read) == proposals
    (answers,) = (job for job in jobs if job.stage == "respond-pcnet")
    assert sum("/cues-" in path for path in answers.inputs) == 2


def test_snakemake_trains_and_measures_it(trained: Trained, tmp_path: Path) -> None:
    """By the command line, from the tables, the pictures and the small CLIP of the small run."""
    clone = Copy(shutil.copytree(trained.root, tmp_path / "clone", symlinks=True))
    runs = "runs={pcnet: {localizer: {method: pcnet}, evaluation: {rungs: [response]}}}"
    wanted = "results/runs/pcnet/metrics.json"
    done = clone.call(
        *("snakemake", "--cores", "1", wanted, "--config", runs, "cues={backend: rules}"),
        timeout=400,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    rules = {
        line.split()[1][:-1] for line in said.splitlines() if line.startswith(("rule", "localrule"))
    }
    assert rules == {"decompose", "train_localizer", "respond", "evaluate"}
    made = clone.root / "artifacts" / "runs" / "pcnet"
    header = (made / "localizer_curves.csv").read_text().splitlines()[0]
    assert "classification,contrast,shrinking,disambiguation" in header
    found = json.loads((clone.root / wanted).read_text())["rungs"]["response"]
    assert all(0 <= split["PointM"]["value"] <= 100 for split in found.values())
