"""What is fetched is in the plan where the configuration asks for it, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import check, merge, read_yaml
from pipeline.safety import InputError
from pipeline.workflow import flow_of
from pipeline.workflow.dvc import planned_jobs
from tests.repository import ROOT
from tests.workflow.conftest import Workspace

BASE = ROOT / "config.yaml"
FETCHED: dict[str, Any] = {
    "dataset": {
        "name": "toy",
        "source": "download",
        "folder": "artifacts/toy/dataset",
        "split_by": "umd",
        "evaluate": ["val"],
        "headline": "val",
    },
    "download": {"dataset": "refcocog"},
    "pseudo_labels": {"splits": ["train"]},
}
WEIGHTS = "artifacts/weights/RN50-quickgelu.openai.safetensors"
CLIP = {"model": "RN50-quickgelu", "pretrained": WEIGHTS}


def test_the_default_run_fetches_nothing(workspace: Workspace) -> None:
    assert not {"download", "weights"} & {job.rule for job in workspace.jobs}


def test_dataset_and_weights_come_first(workspace: Workspace) -> None:
    overlay = ROOT / "experiments" / "refcocog_quick.yaml"
    jobs = planned_jobs("--forceall", "--configfile", str(overlay), root=workspace.root)
    made = {path: job.rule for job in jobs for path in job.outputs}
    assert made["artifacts/refcocog_quick/dataset"] == "download"
    (weights,) = (path for path, rule in made.items() if rule == "weights")
    assert {job.rule for job in jobs if weights in job.inputs} >= {
        "train_localizer",
        "respond",
        "refine",
        "train_segmentor",
        "segment",
    }
    assert {"miniature", "captions", "pretrain"}.isdisjoint(made.values())
    (tables,) = (job for job in jobs if job.rule == "tables")
    assert "artifacts/refcocog_quick/dataset" in tables.inputs
    assert not [path for path in tables.inputs if "download" in path]


def merged(changes: dict[str, Any]) -> dict[str, Any]:
    return merge(read_yaml(BASE), changes)


def test_weights_are_fetched_with_any_source_of_data(tmp_path: Path) -> None:
    flow = flow_of(merged({"encoder": CLIP}), base=BASE)
    assert flow.fetched_weights == [Path(WEIGHTS)] * len(flow.runs)
    assert flow.encoder("weak") == [Path(WEIGHTS)]
    assert flow.critic("weak") == list(flow.layout.small_clip_files.values())[:3]
    assert flow.source_of_weights(Path(WEIGHTS).name) == "clip_rn50"
    assert flow.layout.small_clip_files["curves"] in flow.pictured()
    both = flow_of(merged({"encoder": CLIP, "critic": CLIP}), base=BASE)
    assert both.layout.small_clip_files["curves"] not in both.pictured()


@pytest.mark.parametrize("pretrained", ["openai", "data/mine/weights.safetensors"])
def test_other_weights_are_nobodys_output(pretrained: str) -> None:
    changes = {"encoder": {"model": "RN50-quickgelu", "pretrained": pretrained}}
    flow = flow_of(merged(changes), base=BASE)
    assert flow.encoder("weak") == [] and flow.fetched_weights == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"download": {"dataset": "coco"}}, r"download\.dataset: 'coco' is none of grefcoco"),
        ({"download": {"dataset": None}}, r"download\.dataset: None is given"),
        ({"download": {"connections": 0}}, r"download\.connections"),
        ({"dataset": {"folder": "data/refcocog"}}, "must lie under paths.artifacts"),
        (
            {"encoder": CLIP | {"pretrained": "artifacts/weights/RN51.safetensors"}},
            r"encoder\.pretrained.*: .*RN51\.safetensors is nothing that can be fetched",
        ),
    ],
)
def test_mistakes_are_told_before_anything_starts(changes: dict[str, Any], said: str) -> None:
    content = merge(merged(FETCHED), changes)
    check(merged(FETCHED))
    with pytest.raises(InputError, match=said):
        flow_of(content, base=BASE)
