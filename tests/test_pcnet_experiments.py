"""The overlays of PCNet: the paper's numbers, and ablations that vary what its tables vary."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import load, run_config
from pipeline.runs import owner, step_settings
from pipeline.workflow import flow_of
from tests.overlays import Ablations, check_ablation, leaves, merged
from tests.repository import ROOT
from tests.test_experiments import NOT_EHIN, TRIS_PAPER

CRM, LOSSES = "pcnet.crm", "pcnet.loss_weights"
REGIONS = [f"{LOSSES}.shrinking", f"{LOSSES}.disambiguation"]
IAD = "pcnet.disambiguation"

ABLATIONS: Ablations = {
    "pcnet_components": (
        [f"{CRM}.stages", f"{CRM}.modulation", *REGIONS],
        {
            "whole": (3, "vta_tta", 1, 1),
            "crm_ras": (3, "vta_tta", 1, 0),
            "crm_iad": (3, "vta_tta", 0, 1),
            "crm": (3, "vta_tta", 0, 0),
            "cls": (1, "none", 0, 0),
        },
    ),
    "pcnet_stages": (
        [f"{CRM}.stages", *REGIONS],
        {"stages1": (1, 0, 1), "stages2": (2, 1, 1), "whole": (3, 1, 1), "stages4": (4, 1, 1)},
    ),
    "pcnet_modulation": (
        [f"{CRM}.modulation"],
        {"add": ("add",), "tta": ("tta",), "vta_add": ("vta_add",), "whole": ("vta_tta",)},
    ),
    "pcnet_others": (
        [f"{IAD}.others", f"{LOSSES}.disambiguation"],
        {"others0": (1, 0), "others1": (1, 1), "others2": (2, 1), "others3": (3, 1)},
    ),
    "pcnet_alignment": (
        ["pcnet.shrinking.alignment", f"{IAD}.alignment"],
        {"whole": ("max", "max"), "ras_avg": ("avg", "max"), "iad_avg": ("max", "avg")},
    ),
    "pcnet_answers": (
        [f"{CRM}.answer"],
        {"whole": ("last",), "stage0": (0,), "stage1": (1,)},
    ),
    "pcnet_divergence": (
        [f"{LOSSES}.disambiguation", f"{IAD}.form", f"{IAD}.scores"],
        {
            "cls": (0, "overlap", "softmax"),
            "cls_kl": (1, "kl", "softmax"),
            "cls_iad": (1, "distance", "raw"),
            "cls_overlap": (1, "overlap", "softmax"),
        },
    ),
    "pcnet_readings": (
        [
            f"{CRM}.negatives",
            f"{CRM}.visual",
            "pcnet.shrinking.earlier",
            "pcnet.shrinking.background",
            f"{IAD}.form",
            f"{IAD}.scores",
            f"{CRM}.told",
        ],
        {
            "whole": (0, 0, "fixed", "outside", "overlap", "softmax", "cues"),
            "all_negatives": ("all", 0, "fixed", "outside", "overlap", "softmax", "cues"),
            "visual": (0, 0.1, "fixed", "outside", "overlap", "softmax", "cues"),
            "earlier": (0, 0, "learns", "outside", "overlap", "softmax", "cues"),
            "background": (0, 0, "fixed", "others", "overlap", "softmax", "cues"),
            "printed": (0, 0, "fixed", "outside", "distance", "raw", "cues"),
            "told_text": (0, 0, "fixed", "outside", "overlap", "softmax", "text"),
        },
    ),
}

# Where PCNet differs from what it shares with TRIS, and what it has of its own.
PAPER: dict[str, Any] = {
    "localizer.method": "pcnet",
    "localizer.training.batch_size": 36,
    "localizer.training.sampling": "images",
    "localizer.training.texts_per_image": 2,
    "localizer.training.distinct_referents": True,
    "localizer.training.epochs": 27,
    "localizer.training.negatives": 0,
    "pcnet.crm.stages": 3,
    "pcnet.crm.modulation": "vta_tta",
    "pcnet.crm.told": "cues",
    "pcnet.crm.negatives": "all",
    "pcnet.crm.answer": "last",
    "pcnet.shrinking.alignment": "max",
    "pcnet.shrinking.background": "others",
    "pcnet.shrinking.earlier": "learns",
    "pcnet.disambiguation.others": 1,
    "pcnet.disambiguation.alignment": "max",
    "pcnet.disambiguation.form": "distance",
    "pcnet.disambiguation.scores": "raw",
    "pcnet.loss_weights.classification": 1,
    "pcnet.loss_weights.contrast": 0,
    "pcnet.loss_weights.shrinking": 1,
    "pcnet.loss_weights.disambiguation": 1,
    "cues.backend": "llm",
    "cues.count": 5,
    "proposals.method": "sam",
    "proposals.minimum_area": 1000,
    "proposals.maximum_overlap": 0.8,
    "proposals.keep": 40,
    "sam.model": "vit_h",
    "sam.generator.points_per_side": 8,
    "sam.generator.predicted_iou": 0.7,
    "sam.generator.stability": 0.7,
    "segmentor.method": "sam",
    "evaluation.rungs": ["response", "segmentor"],
}


def test_pcnet_is_as_published() -> None:
    config = merged("experiments/pcnet_paper.yaml")
    assert list(config.runs) == ["pcnet_paper"]
    values = dict(leaves(run_config(config, "pcnet_paper").model_dump()))
    apart = NOT_EHIN - {"localizer.training.weight_decay"}
    kinds = ("encoder.", "localizer.", "inference.")
    shared = {k: v for k, v in TRIS_PAPER.items() if k.startswith(kinds) and k not in apart}
    expected = shared | PAPER
    assert {key: values[key] for key in expected} == expected
    assert values["localizer.training.weight_decay"] == 0.01
    assert config.dataset.name == "refcocog_google"


# Images and referents of the training split (TensorFlow Datasets' table).
DATASETS: dict[str, tuple[str, int, int]] = {
    "pcnet_paper": ("tris_refcocog_google", 24_698, 44_822),
    "pcnet_refcoco": ("tris_refcoco", 16_994, 42_404),
    "pcnet_refcoco_plus": ("tris_refcoco_plus", 16_992, 42_278),
    "pcnet_refcocog": ("tris_paper", 21_899, 42_226),
}


@pytest.mark.parametrize("name", DATASETS)
def test_an_epoch_of_images_is_repeated_until_the_steps_are_the_papers(name: str) -> None:
    """Those of 15 epochs of all referents, to the nearest whole epoch."""
    _, images, referents = DATASETS[name]
    epochs = merged(f"experiments/{name}.yaml").localizer.training.epochs
    assert abs(epochs * images - 15 * referents) <= images / 2


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "pcnet_paper"])
def test_pcnet_on_another_dataset_is_pcnet_on_what_tris_has_there(name: str) -> None:
    config = merged(f"experiments/{name}.yaml")
    assert list(config.runs) == [name]
    own = run_config(config, name).model_dump()
    paper = run_config(merged("experiments/pcnet_paper.yaml"), "pcnet_paper").model_dump()
    for content in (own, paper):
        content["localizer"]["training"].pop("epochs")
    same = ("encoder", "critic", "localizer", "pcnet", "cues", "proposals", "sam", "segmentor")
    same += ("pseudo_labels", "evaluation", "inference", "machine")
    assert {key: own[key] for key in same} == {key: paper[key] for key in same}
    tris = merged(f"experiments/{DATASETS[name][0]}.yaml")
    assert own["dataset"] == tris.dataset.model_dump()
    assert own["download"] == tris.download.model_dump()


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_varies_what_its_table_varies(name: str) -> None:
    config = merged(f"experiments/ablations/{name}.yaml")
    check_ablation(config, *ABLATIONS[name], paper="PCNet")
    # other referents than those of a text are there to be told from
    training = config.localizer.training
    assert training.distinct_referents
    assert training.texts_per_image > max(
        run_config(config, run).pcnet.disambiguation.others for run in config.runs
    )


def test_the_ablations_share_their_base() -> None:
    """So that the seeds of the whole method, and of the classification alone, are trained once."""
    for run in ("whole-0", "cls-0"):
        found = set()
        for name in ABLATIONS:
            config = merged(f"experiments/ablations/{name}.yaml")
            if run in config.runs:
                found.add(repr(step_settings(config, run, "train_localizer")))
        assert len(found) == 1


def test_what_is_published_of_the_whole_method_is_the_same_in_all_tables() -> None:
    rows = {
        repr(table.figures[best])
        for name in ABLATIONS
        for table in merged(f"experiments/ablations/{name}.yaml").report.published
        for best in ("whole", "others1")
        if best in table.figures and "PCNet_S" not in table.table and "Table 9" not in table.table
    }
    assert len(rows) == 1 and "57.9" in rows.pop()


def test_the_stages_answer_from_one_training() -> None:
    config = merged("experiments/ablations/pcnet_answers.yaml")
    for run in config.runs:
        seed = run[-1]
        assert owner(config, run, "train_localizer") == f"whole-{seed}"
        assert owner(config, run, "respond") == run


def test_pcnet_meets_tris_at_equal_steps() -> None:
    default = load([ROOT / "config.yaml"])
    for overlay, tris, variants in (
        ("miniature_pcnet", ["weak", "weak-1", "weak-2"], ["pcnet", "pcnet_without_iad"]),
        ("miniature_pcnet_sam", [f"tris_s-{seed}" for seed in range(3)], ["pcnet_s"]),
    ):
        config = merged(f"experiments/{overlay}.yaml")
        runs = {name: run_config(config, name) for name in config.runs}
        theirs = [f"{variant}-{seed}" for variant in variants for seed in range(3)]
        assert list(runs) == [*tris, *theirs]
        methods = [run.localizer.method for run in runs.values()]
        assert methods == ["tris"] * 3 + ["pcnet"] * len(theirs)
        assert [run.seed for run in runs.values()] == [0, 1, 2] * (1 + len(variants))
        assert {repr(run.localizer.training) for run in runs.values()} == {
            repr(default.localizer.training)
        }
        assert runs[f"{variants[0]}-0"].pcnet == default.pcnet
        for name in theirs[3:]:
            found, own = runs[name].pcnet.model_dump(), default.pcnet.model_dump()
            assert found["loss_weights"].pop("disambiguation") == 0
            assert own["loss_weights"].pop("disambiguation") > 0
            assert found == own
    assert config.dataset.folder == default.dataset.folder
    assert config.dataset.name != default.dataset.name


def test_nothing_of_pcnet_is_in_the_default_run() -> None:
    default = load([ROOT / "config.yaml"]).model_dump(mode="json")
    flow = flow_of(default)
    for run in default["runs"]:
        assert flow.cues(run) == flow.learned_proposals(run) == []
        for step in ("train_localizer", "respond"):
            assert "pcnet" not in step_settings(flow.config, run, step)
