"""IRNet in the workflow: only where a run names it, shared where runs agree, blind to the truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, check, merge, read_yaml
from pipeline.layout import Layout
from pipeline.runs import has_irnet, owner, step_settings
from pipeline.steps.check import artifacts
from pipeline.workflow import flow_of
from pipeline.workflow.dvc import planned_jobs
from tests.conftest import Trained
from tests.repository import ROOT, Copy

from .conftest import Workspace

CHAINS = {
    "first": ["prms", "irnet"],
    "snapped": ["prms", "irnet", "proposal_snap"],
    "exclusive": ["prms", "exclusion", "irnet", "crf"],
    "crf": ["prms", "crf"],
}


def config(**runs: dict[str, Any]) -> Config:
    """The default run's configuration with these runs beside `weak`."""
    return check(merge(read_yaml(ROOT / "config.yaml"), {"runs": runs}))


def refined(*names: str, **irnet: Any) -> dict[str, Any]:
    return {"pseudo_labels": {"refine": list(names), "irnet": irnet}}


@pytest.fixture(scope="module")
def chains() -> Config:
    return config(**{name: refined(*chain) for name, chain in CHAINS.items()})


@pytest.mark.parametrize(
    ("run", "labels", "weights"),
    [
        ("first", "first", "first"),
        ("snapped", "first", "first"),
        ("exclusive", "exclusive", "exclusive"),
    ],
)
def test_runs_share_what_stands_before_irnet(
    chains: Config, run: str, labels: str, weights: str
) -> None:
    assert owner(chains, run, "label_irnet") == labels
    assert owner(chains, run, "train_irnet") == weights
    assert owner(chains, run, "refine") == run


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"walk": {"exp_times": 5}}, {"refine"}),
        ({"instances": {"background": 0.1}}, {"refine"}),
        ({"network": {"radius": 3}}, {"refine", "train_irnet"}),
        ({"training": {"epochs": 1}}, {"refine", "train_irnet"}),
        ({"labels": {"foreground": 0.5}}, {"refine", "train_irnet", "label_irnet"}),
    ],
    ids=lambda found: next(iter(found)) if isinstance(found, dict) else "",
)
def test_a_changed_number_makes_again_what_reads_it(
    change: dict[str, Any], again: set[str]
) -> None:
    found = config(first=refined("prms", "irnet"), other=refined("prms", "irnet", **change))
    steps = ("label_irnet", "train_irnet", "refine")
    assert {step for step in steps if owner(found, "other", step) == "other"} == again


def test_numbers_of_refiners_that_are_not_in_the_list_do_not_matter() -> None:
    other = refined("prms", "crf", walk={"exp_times": 7})
    other["pseudo_labels"] |= {"exclusion": {"weight": 0.1}}
    found = config(first=refined("prms", "crf"), other=other)
    assert owner(found, "other", "refine") == "first"
    assert step_settings(found, "other", "refine") == step_settings(found, "first", "refine")


def test_a_run_without_irnet_owns_none_of_another(chains: Config) -> None:
    """Its whole list may be what stands before `irnet` in that of the other."""
    found = config(plain=refined("prms", "crf"), other=refined("prms", "crf", "irnet"))
    assert owner(found, "other", "label_irnet") == "other"
    curves = flow_of(chains.model_dump(mode="json")).curves
    assert [path.name for path in curves("crf")] == ["localizer_curves.csv", "segmentor_curves.csv"]
    assert [path.name for path in curves("snapped")][1] == "irnet_curves.csv"


def test_a_run_that_is_not_refined_trains_no_irnet() -> None:
    responses = refined("prms", "irnet") | {"evaluation": {"rungs": ["response"]}}
    supervised = refined("prms", "irnet") | {"segmentor": {"supervision": "masks"}}
    for overlay in (responses, supervised):
        found = config(other=overlay)
        flow = flow_of(found.model_dump(mode="json"))
        assert flow.irnet("other") == [] == flow.irnet_trunk("other")


def test_proposals_are_read_where_they_are_chosen_among() -> None:
    found = config(
        after=refined("prms", "irnet", "proposal_snap"), before=refined("proposal_snap", "irnet")
    )
    flow = flow_of(found.model_dump(mode="json"))
    shard = [flow.layout.proposals(1)]
    assert flow.proposals("after", "1", step="label_irnet") == []
    assert flow.proposals("after", "1", step="refine") == shard
    assert flow.proposals("before", "1", step="label_irnet") == shard


def test_the_plan_has_irnet_for_its_runs_alone_and_no_truth(workspace: Workspace) -> None:
    overlay = "runs={irnet: {pseudo_labels: {refine: [prms, irnet]}}}"
    jobs = planned_jobs("--forceall", "--config", overlay, root=workspace.root)
    stages = {job.stage for job in jobs if "irnet" in job.rule}
    assert stages == {"label_irnet-irnet", "train_irnet-irnet"}
    assert not {job.stage for job in workspace.jobs if "irnet" in job.rule}
    weak = [job for job in jobs if job.rule in ("label_irnet", "train_irnet", "refine")]
    assert len(weak) == 1 + 2 * 3
    assert not [path for job in weak for path in job.inputs if "truth" in path or "objects" in path]
    (reads,) = (
        job.inputs
        for job in jobs
        if job.rule == "refine"
        and job.outputs[0].startswith("artifacts/runs/irnet/pseudo_labels/0")
    )
    assert "artifacts/runs/irnet/irnet.safetensors" in reads
    assert "artifacts/encoders/small_clip/open_clip_model.safetensors" in reads


def test_check_names_what_irnet_makes(chains: Config) -> None:
    layout = Layout.of(chains)
    found = {artifact.path: artifact for artifact in artifacts(chains)}
    assert has_irnet(chains) is False  # the base's own list
    assert found[layout.irnet("first")].purpose.endswith("of first, snapped")
    assert found[layout.irnet_labels("exclusive", 0)].kind == "irnet_labels"
    assert layout.curves("first", "irnet") in found
    assert not any("irnet" in str(path) and "/crf/" in str(path) for path in found)


def test_snakemake_makes_pseudo_labels_by_irnet(trained: Trained, tmp_path: Path) -> None:
    """By the command line, from the responses and the small CLIP of the shared small run."""
    clone = Copy(shutil.copytree(trained.root, tmp_path / "clone", symlinks=True))
    overlay = (
        "runs={irnet: {pseudo_labels: {refine: [prms, irnet], irnet: {network: {edge_width: 8, "
        "displacement_widths: [8, 8, 8, 8], fused_width: 8, radius: 4}, "
        "training: {epochs: 1, batch_size: 8, crop: 64, curve_steps: 1}}}}}"
    )
    wanted = "artifacts/runs/irnet/pseudo_labels/0-of-1.parquet"
    done = clone.call("snakemake", "--cores", "1", wanted, "--config", overlay, timeout=400)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    rules = {
        line.split()[1][:-1] for line in said.splitlines() if line.startswith(("rule", "localrule"))
    }
    assert rules == {"label_irnet", "train_irnet", "refine"}
    made = clone.root / "artifacts" / "runs" / "irnet"
    assert (made / "irnet.safetensors").is_file() and (clone.root / wanted).is_file()
    assert (made / "irnet_curves.csv").read_text().startswith("step,epoch,learning_rate,loss,fore")
    assert (clone.root / "logs" / "train_irnet-irnet.log").is_file()
    assert (clone.root / "results" / "benchmarks" / "label_irnet-irnet-0.tsv").is_file()
