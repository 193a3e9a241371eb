"""SAM in the workflow: only where a run asks it, and blind to its numbers elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, check, merge, read_yaml, run_config
from pipeline.layout import Layout
from pipeline.runs import asks_sam, is_refined, learns_to_segment, owner, step_settings
from pipeline.safety import InputError
from pipeline.steps.check import artifacts
from pipeline.workflow import flow_of
from pipeline.workflow.dvc import planned_jobs
from tests.repository import ROOT

from .conftest import Workspace

PROMPTED = {"pseudo_labels": {"refine": ["prms", "sam_prompt"]}}
ASKED = {"segmentor": {"method": "sam"}, "evaluation": {"rungs": ["response", "segmentor"]}}
VIT_H = {"sam": {"model": "vit_h", "weights": "artifacts/weights/sam_vit_h_4b8939.pth"}}


def content(**changes: Any) -> dict[str, Any]:
    return merge(read_yaml(ROOT / "config.yaml"), changes)


def config(**changes: Any) -> Config:
    return check(content(**changes))


def test_the_default_run_knows_no_sam() -> None:
    default = config()
    layout = Layout.of(default)
    flow = flow_of(content())
    for run in default.runs:
        assert not asks_sam(run_config(default, run))
        assert not [path for step in ("refine", "segment") for path in flow.sam(run, step)]
    assert not flow.sam(None, "propose")
    assert layout.mask_scenes not in {artifact.path for artifact in artifacts(default)}


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"runs": {"weak": PROMPTED}}, "refine"),
        ({"runs": {"weak": ASKED}}, "segment"),
        ({"proposals": {"method": "sam"}}, "propose"),
    ],
)
def test_a_step_that_asks_it_waits_for_the_small_one(changes: dict[str, Any], step: str) -> None:
    found = flow_of(content(**changes))
    run = None if step == "propose" else "weak"
    expected = {found.layout.small_sam_files[name] for name in ("weights", "sizes")}
    assert set(found.sam(run, step)) == expected
    others = {"refine", "segment", "propose"} - {step}
    assert not any(found.sam(None if o == "propose" else "weak", o) for o in others)
    listed = {artifact.path for artifact in artifacts(config(**changes))}
    assert {found.layout.mask_scenes, *expected} <= listed


def test_a_published_one_is_fetched() -> None:
    found = flow_of(content(runs={"weak": ASKED | VIT_H}))
    (path,) = found.sam("weak", "segment")
    assert path == found.layout.weights("sam_vit_h_4b8939.pth")
    assert path in found.fetched_weights and found.source_of_weights(path.name) == "sam_vit_h"
    unknown = {"sam": {"model": "vit_h", "weights": "artifacts/weights/other.pth"}}
    with pytest.raises(InputError, match=r"sam\.weights.*other\.pth"):
        flow_of(content(runs={"weak": ASKED | unknown}))


def test_one_of_ones_own_is_an_input(tmp_path: Path) -> None:
    """As it is: a file beside a published model's name, or a folder as the small one's."""
    file = tmp_path / "sam_vit_b.pth"
    found = flow_of(
        content(runs={"weak": ASKED | {"sam": {"model": "vit_b", "weights": str(file)}}})
    )
    assert found.sam("weak", "segment") == [file] and found.fetched_weights == []
    found = flow_of(content(runs={"weak": ASKED | {"sam": {"model": str(tmp_path)}}}))
    assert {path.parent for path in found.sam("weak", "segment")} == {tmp_path}


def test_what_it_takes_in_memory_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "sam_vit_b.pth"
    file.write_bytes(b"0" * 30_000_000)
    sam = f"sam={{model: vit_b, weights: {file}}}"
    plan = ("snakemake", "--cores", "1", "--dry-run", "--forceall", "--config", sam)
    done = workspace.call(*plan, "proposals={method: sam}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^rule (\w+):$.*?mem_mb=(\d+)", done.stdout, re.MULTILINE | re.DOTALL)
    memory = {rule: int(size) for rule, size in found}
    assert (memory["propose"], memory["refine"], memory["segment"]) == (2060, 2000, 3000)


def test_as_a_segmentor_it_is_not_trained_and_needs_no_pseudo_labels() -> None:
    found = flow_of(content(runs={"asked": ASKED}))
    assert learns_to_segment(run_config(found.config, "weak"))
    own = run_config(found.config, "asked")
    assert not learns_to_segment(own) and not is_refined(own)
    assert found.segmentor("asked") == [found.responses("asked")]
    assert found.rungs("asked") == [found.responses("asked"), found.predictions("asked")]
    assert [path.name for path in found.curves("asked")] == ["localizer_curves.csv"]


def test_true_masks_teach_it_nothing() -> None:
    with pytest.raises(InputError, match=r"supervision.*method: sam"):
        config(segmentor={"method": "sam", "supervision": "masks"})


def test_its_numbers_matter_only_where_it_is_asked() -> None:
    other = {"sam": {"prompts_per_batch": 7, "generator": {"points_per_side": 5}}}
    runs = {"again": other, "prompted": PROMPTED, "moved": PROMPTED | other}
    found = config(runs=runs)
    for step in ("train_localizer", "refine", "train_segmentor", "segment"):
        assert owner(found, "again", step) == "weak"
        assert step_settings(found, "again", step) == step_settings(found, "weak", step)
    assert owner(found, "prompted", "refine") == "prompted"
    assert owner(found, "moved", "refine") == "moved"
    grid = {"sam": {"generator": {"points_per_side": 5}}}
    same = config(runs={"prompted": PROMPTED, "moved": PROMPTED | grid})
    assert owner(same, "moved", "refine") == "prompted"  # the grid is that of proposals
    proposed = [
        step_settings(config(proposals={"method": "sam"}, **change), None, "propose")
        for change in ({}, grid)
    ]
    assert proposed[0] != proposed[1]


def test_it_is_planned_with_what_it_learns_from(workspace: Workspace) -> None:
    overlay = workspace.root / "sam.yaml"
    overlay.write_text(
        "proposals: {method: sam}\n"
        "runs: {asked: {segmentor: {method: sam}, evaluation: {rungs: [response, segmentor]}}}\n"
    )
    try:
        jobs = planned_jobs("--forceall", "--configfile", "sam.yaml", root=workspace.root)
    finally:
        overlay.unlink()
    stages = {job.stage: job for job in jobs}
    assert {"mask_scenes", "pretrain_sam", "segment-asked"} <= stages.keys()
    assert not {"refine-asked", "train_segmentor-asked"} & stages.keys()
    weights = "artifacts/encoders/small_sam/sam.safetensors"
    assert weights in stages["propose"].inputs and weights in stages["segment-asked"].inputs
    assert not {job.stage for job in workspace.jobs} & {"mask_scenes", "pretrain_sam"}
