"""Every overlay of ``experiments/``: what its header says, and that the workflow can plan it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import load, merge, read_yaml, run_config
from pipeline.runs import step_settings
from pipeline.workflow.dvc import planned_jobs
from tests.overlays import OVERLAYS, Ablations, check_ablation, header, leaves, merged, stack
from tests.repository import ROOT, copy_repository

# What TRIS publishes, wherever the value comes from: the overlay or the default under it.
TRIS_PAPER: dict[str, Any] = {
    "encoder.model": "RN50-quickgelu",
    "encoder.pretrained": "artifacts/weights/RN50-quickgelu.openai.safetensors",
    "encoder.output_stride": 32,
    "encoder.context": 20,
    "encoder.image_size": 320,
    "encoder.normalise": "imagenet",
    "critic.model": "ViT-B-32-quickgelu",
    "critic.pretrained": "artifacts/weights/ViT-B-32-quickgelu.openai.safetensors",
    "critic.context": 20,
    "critic.image_size": 224,
    "localizer.hidden": 1024,
    "localizer.alpha": 0.1,
    "localizer.temperature": 0.07,
    "localizer.prompt_texts": "batch",
    "localizer.levels": [-1],
    "localizer.coordinates": False,
    "localizer.projection": "random",
    "localizer.positives": "identity",
    "localizer.same_image": "negative",
    "localizer.focal_power": 3,
    "localizer.focal_floor": 0.01,
    "localizer.cosine_floor": 1e-4,
    "localizer.cosine_ceiling": 0.9999,
    "localizer.loss_weights.classification": 5,
    "localizer.loss_weights.contrast": 0,
    "localizer.loss_weights.foreground": 1,
    "localizer.loss_weights.calibration": 2,
    "localizer.loss_starts.foreground": 0,
    "localizer.loss_starts.calibration": 0,
    "segmentor.film": False,
    "segmentor.loss_stride": 1,
    "inference.mirror_responses": False,
    "inference.mirror_masks": False,
    "localizer.training.epochs": 15,
    "localizer.training.batch_size": 48,
    "localizer.training.sampling": "referents",
    "localizer.training.augment": [],
    "localizer.training.negatives": 3,
    "localizer.training.optimiser": "adamw",
    "localizer.training.learning_rate": 5e-5,
    "localizer.training.encoder_scale": 0.1,
    "localizer.training.weight_decay": 0.01,
    "localizer.training.decayed": "all",
    "localizer.training.schedule": "polynomial",
    "localizer.training.power": 0.9,
    "localizer.training.warmup_steps": 0,
    "localizer.training.clip_norm": None,
    "localizer.training.ema": None,
    "pseudo_labels.threshold.threshold": "positive",
    "pseudo_labels.prms.combine": "best",
    "pseudo_labels.refine": ["prms", "irnet"],
    "pseudo_labels.irnet.labels.foreground": 0.3,
    "pseudo_labels.irnet.labels.background": 0.1,
    "pseudo_labels.irnet.trunk": "resnet50",
    "pseudo_labels.irnet.resnet50": "IMAGENET1K_V1",
    "pseudo_labels.irnet.network.edge_width": 32,
    "pseudo_labels.irnet.network.displacement_widths": [64, 128, 256, 256, 256],
    "pseudo_labels.irnet.network.fused_width": 256,
    "pseudo_labels.irnet.network.radius": 10,
    "pseudo_labels.irnet.training.epochs": 3,
    "pseudo_labels.irnet.training.batch_size": 32,
    "pseudo_labels.irnet.training.crop": 512,
    "pseudo_labels.irnet.training.optimiser": "sgd",
    "pseudo_labels.irnet.training.learning_rate": 0.1,
    "pseudo_labels.irnet.training.displacement_scale": 10,
    "pseudo_labels.irnet.training.weight_decay": 1e-4,
    "pseudo_labels.irnet.walk.radius": 5,
    "pseudo_labels.irnet.walk.beta": 10,
    "pseudo_labels.irnet.walk.exp_times": 8,
    "pseudo_labels.irnet.instances.weak": 2.5,
    "pseudo_labels.irnet.instances.background": 0.25,
    "pseudo_labels.irnet.instances.fragment": 0.01,
    "pseudo_labels.irnet.instances.keep": "all",
    "pseudo_labels.crf.iterations": 10,
    "pseudo_labels.crf.kernels.gaussian_sxy": 3,
    "pseudo_labels.crf.kernels.gaussian_compat": 3,
    "pseudo_labels.crf.kernels.bilateral_sxy": 50,
    "pseudo_labels.crf.kernels.bilateral_srgb": 5,
    "pseudo_labels.crf.kernels.bilateral_compat": 10,
    "pseudo_labels.crf.gt_prob": 0.7,
    "segmentor.levels": [1, 2, 3],
    "segmentor.widths": [512, 256, 128, 64, 32],
    "segmentor.coordinates": False,
    "segmentor.loss": "bce",
    "segmentor.training.epochs": 15,
    "segmentor.training.batch_size": 48,
    "dataset.source": "download",
    "dataset.text": "sentence",
    "evaluation.convention": "tris",
}

EHIN_ABLATIONS: Ablations = {
    "ehin_prompts": (
        ["ehin.hipm.prompts"],
        {"prompts1": (1,), "full": (2,), "prompts3": (3,), "prompts4": (4,)},
    ),
    "ehin_residual": (
        ["ehin.hipm.residual", "ehin.hipm.output"],
        {
            "full": ("twice", "added"),
            "once": ("once", "added"),
            "twice_last": ("twice", "last"),
            "once_last": ("once", "last"),
        },
    ),
    "ehin_losses": (
        [f"ehin.loss_weights.{name}" for name in ("foreground", "eclm", "background")],
        {
            "fg_bg_cl": (5, 2, 1),
            "fg_bg": (5, 0, 1),
            "bg_cl": (0, 2, 1),
            "fg_cl": (5, 2, 0),
            "bg": (0, 0, 1),
            "fg": (5, 0, 0),
            "cl": (0, 2, 0),
        },
    ),
    "ehin_components": (
        ["ehin.hipm.prompts", "ehin.hipm.residual", "ehin.loss_weights.eclm"],
        {
            "full": (2, "twice", 2),
            "no_eclm": (2, "twice", 0),
            "no_hipm": (1, "none", 2),
            "neither": (1, "none", 0),
        },
    ),
    "ehin_alpha_beta": (
        ["ehin.hipm.alpha", "ehin.hipm.beta"],
        {
            "alpha0.1_beta0.02": (0.1, 0.02),
            "full": (0.1, 0.05),
            "alpha0.1_beta0.1": (0.1, 0.1),
            "alpha0.2_beta0.02": (0.2, 0.02),
            "alpha0.2_beta0.05": (0.2, 0.05),
            "alpha0.2_beta0.1": (0.2, 0.1),
        },
    ),
    "ehin_negatives": (
        ["localizer.training.negatives"],
        {"negatives1": (1,), "negatives3": (3,), "full": (6,), "negatives9": (9,)},
    ),
    "ehin_batch": (
        ["localizer.training.batch_size"],
        {"batch6": (6,), "batch12": (12,), "full": (24,), "batch48": (48,)},
    ),
    "ehin_eclm": (
        ["ehin.eclm.level", "ehin.eclm.negatives", "ehin.loss_weights.eclm"],
        {
            "full": ("early", "sum_times_k", 2),
            "late_eclm": ("late", "sum_times_k", 2),
            "early_mean": ("early", "mean", 2),
            "late_mean": ("late", "mean", 2),
            "early_mean_tenth": ("early", "mean", 0.2),
        },
    ),
    "ehin_balance": (
        [f"ehin.loss_weights.{name}" for name in ("foreground", "eclm", "background")],
        {"no_eclm": (5, 0, 1), "even": (5, 0, 5), "as_tris": (0.1, 0, 4.9)},
    ),
}


TRIS_DATASETS = (
    *("tris_refcoco", "tris_refcoco_plus", "tris_refcocog_google", "tris_referit"),
    *("tris_grefcoco", "tris_refcoco_unseen"),
)
EHIN_DATASETS = ("ehin_refcoco_plus", "ehin_refcocog", "ehin_refcocog_google", "ehin_referit")

# Where EHIN differs from what it shares with TRIS, and what it has of its own.
EHIN_PAPER: dict[str, Any] = {
    "localizer.method": "ehin",
    "localizer.training.batch_size": 24,
    "localizer.training.negatives": 6,
    "localizer.training.optimiser": "adam",
    "localizer.training.learning_rate": 1e-5,
    "ehin.hipm.prompts": 2,
    "ehin.hipm.residual": "twice",
    "ehin.hipm.alpha": 0.1,
    "ehin.hipm.beta": 0.05,
    "ehin.eclm.level": "early",
    "ehin.eclm.negatives": "sum_times_k",
    "ehin.loss_weights.foreground": 5,
    "ehin.loss_weights.eclm": 2,
    "ehin.loss_weights.background": 1,
    "ehin.loss_weights.contrast": 0,
    "segmentor.loss": "ce_dice",
    "segmentor.training.optimiser": "adam",
    "segmentor.training.batch_size": 24,
    "segmentor.training.learning_rate": 1e-5,
}
NOT_EHIN = {  # TRIS's own, or of its dataset
    "localizer.positives",
    "localizer.same_image",
    "localizer.training.weight_decay",
    *(key for key in TRIS_PAPER if key.startswith(("dataset.", "localizer.loss_"))),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("clone")).root


def test_the_overlays_are_found() -> None:
    names = {"miniature_tiny", "miniature_ehin", "tris_paper", "ehin_paper"}
    names |= {"own_data", *TRIS_DATASETS, *EHIN_DATASETS}
    names |= {f"ablations/{name}" for name in ("tris_terms", "seeds", "refiners", *EHIN_ABLATIONS)}
    assert {f"experiments/{name}.yaml" for name in names} <= set(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_header_tells_command_and_cost(overlay: str) -> None:
    lines = header(overlay).splitlines()
    assert all(line.startswith("#") for line in lines)
    assert stack(overlay)[-1] == overlay
    assert any(line.startswith("# Cost: ") for line in lines)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_only_what_it_changes(overlay: str) -> None:
    below: dict[str, Any] = read_yaml(ROOT / "config.yaml")
    for name in stack(overlay)[:-1]:
        below = merge(below, read_yaml(ROOT / name))
    base = dict(leaves(below))
    same = [key for key, value in leaves(read_yaml(ROOT / overlay)) if base.get(key, "-") == value]
    assert not same


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_can_be_planned_and_spares_the_default_run(overlay: str, clone: Path) -> None:
    config, default = merged(overlay), load([ROOT / "config.yaml"])
    if config.dataset.source == "folder":
        (clone / config.dataset.folder).mkdir(parents=True, exist_ok=True)
    jobs = planned_jobs("--forceall", "--configfile", *stack(overlay), root=clone)
    stages = {job.stage for job in jobs}
    assert {f"evaluate-{run}" for run in config.runs} | {"report"} <= stages
    assert config.paths.results != default.paths.results
    if config.paths.artifacts == default.paths.artifacts:
        # a run of the same name lies in the same folder, so it must be the same run
        for run in config.runs.keys() & default.runs.keys():
            ours, theirs = (
                run_config(config, run).model_dump(),
                run_config(default, run).model_dump(),
            )
            apart = ("paths", "report", "runs")
            assert all(ours[key] == theirs[key] for key in ours if key not in apart)


def test_tris_is_as_published() -> None:
    config = run_config(merged("experiments/tris_paper.yaml"), "tris_paper")
    values = dict(leaves(config.model_dump()))
    assert {key: values[key] for key in TRIS_PAPER} == TRIS_PAPER


def test_ehin_is_as_published() -> None:
    config = merged("experiments/ehin_paper.yaml")
    assert list(config.runs) == ["ehin_rn50", "ehin_vit"]
    values = dict(leaves(run_config(config, "ehin_rn50").model_dump()))
    shared = {key: value for key, value in TRIS_PAPER.items() if key not in NOT_EHIN}
    expected = shared | EHIN_PAPER
    assert {key: values[key] for key in expected} == expected
    vit = run_config(config, "ehin_vit")
    assert vit.encoder.model.startswith("ViT") and vit.evaluation.rungs == ["response"]
    assert config.dataset.name == "refcoco_unc"


@pytest.mark.parametrize("name", TRIS_DATASETS)
def test_tris_on_another_dataset_changes_the_dataset_alone(name: str) -> None:
    """And what is measured there, by what rules; a path and a run of its own keep it apart."""
    config = merged(f"experiments/{name}.yaml")
    assert list(config.runs) == [name]
    paper = run_config(merged("experiments/tris_paper.yaml"), "tris_paper")
    allowed = {"paths", "dataset", "download", "runs", "report", "evaluation", "pseudo_labels"}
    own = run_config(config, name)
    assert own.model_dump(exclude=allowed) == paper.model_dump(exclude=allowed)
    assert own.pseudo_labels.model_copy(update={"splits": []}) == paper.pseudo_labels.model_copy(
        update={"splits": []}
    )
    assert own.dataset.source == ("folder" if name == "tris_referit" else "download")
    assert own.dataset.name != paper.dataset.name


@pytest.mark.parametrize("name", EHIN_DATASETS)
def test_ehin_on_another_dataset_is_ehin_on_what_tris_has_there(name: str) -> None:
    config = merged(f"experiments/{name}.yaml")
    assert list(config.runs) == [name]
    own = run_config(config, name).model_dump()
    paper = run_config(merged("experiments/ehin_paper.yaml"), "ehin_rn50").model_dump()
    same = ("encoder", "critic", "localizer", "ehin", "segmentor", "evaluation", "inference")
    assert {key: own[key] for key in same} == {key: paper[key] for key in same}
    below = "tris_paper" if name == "ehin_refcocog" else name.replace("ehin", "tris")
    tris = merged(f"experiments/{below}.yaml")
    assert own["dataset"] == tris.dataset.model_dump()
    assert own["pseudo_labels"] == tris.pseudo_labels.model_dump()


def test_the_ablation_varies_the_terms_alone_over_three_seeds() -> None:
    config = merged("experiments/ablations/tris_terms.yaml")
    variants: dict[str, dict[int, Any]] = {}
    for name in config.runs:
        settings = run_config(config, name)
        dump = settings.model_dump(exclude={"seed", "runs"})
        weights, alpha = settings.localizer.loss_weights, settings.localizer.alpha
        dump["localizer"] |= {"loss_weights": None, "loss_starts": None, "alpha": None}
        variants.setdefault(name.partition("-")[0], {})[settings.seed] = (weights, alpha, dump)
    terms = ["prompt", "foreground", "calibration", "paper", "classification", "late"]
    assert list(variants) == ["base", *terms]
    assert all(list(seeds) == [0, 1, 2] for seeds in variants.values())
    assert all(len({repr(terms) for terms in seeds.values()}) == 1 for seeds in variants.values())
    assert len({repr(seeds[0][:2]) for seeds in variants.values()}) == len(variants)
    assert len({repr(seeds[0][2]) for seeds in variants.values()}) == 1
    paper = variants["paper"][0][0]
    assert list(paper.model_dump().values()) == [5, 0, 1, 2]
    default = load([ROOT / "config.yaml"]).localizer
    assert variants["base"][0][:2] == (default.loss_weights, default.alpha)


@pytest.mark.parametrize("name", EHIN_ABLATIONS)
def test_an_ablation_of_ehin_varies_what_its_table_varies(name: str) -> None:
    check_ablation(
        merged(f"experiments/ablations/{name}.yaml"), *EHIN_ABLATIONS[name], paper="EHIN"
    )


def test_the_ablations_of_ehin_share_their_base() -> None:
    """So that the seeds of the whole method are trained once for all of them."""
    found = set()
    for name in EHIN_ABLATIONS:
        config = merged(f"experiments/ablations/{name}.yaml")
        if "full-0" in config.runs:
            found.add(repr(step_settings(config, "full-0", "train_localizer")))
        contrast = config.ehin.loss_weights.contrast
        assert contrast == (0 if name == "ehin_losses" else 5)
    assert len(found) == 1


def test_runs_of_one_name_are_one_run() -> None:
    """Overlays that share their artifacts must not train one another's runs again."""
    made: dict[tuple[str, str], dict[str, str]] = {}
    for overlay in OVERLAYS:
        config = merged(overlay)
        for run in config.runs:
            for step in ("train_localizer", "train_segmentor"):
                settings = repr(step_settings(config, run, step))
                key = (config.paths.artifacts + config.dataset.name, f"{step} of {run}")
                made.setdefault(key, {})[settings] = overlay
    twice = {key: list(found.values()) for key, found in made.items() if len(found) > 1}
    assert not twice


def test_what_is_published_of_ehin_is_the_papers_best_where_it_should_be() -> None:
    """Each table of one dataset repeats the figures of the whole method."""
    rows = set()
    for name in EHIN_ABLATIONS:
        for table in merged(f"experiments/ablations/{name}.yaml").report.published:
            if table.table.endswith("RefCOCO+ val"):
                whole = {"full", "fg_bg_cl", "twice_last"} & table.figures.keys()
                rows.add(repr([table.figures[one] for one in whole]))
    assert len(rows) == 1 and "55.63" in rows.pop()


def test_ehin_meets_tris_at_equal_steps() -> None:
    config = merged("experiments/miniature_ehin.yaml")
    runs = {name: run_config(config, name) for name in config.runs}
    assert [run.localizer.method for run in runs.values()] == ["tris"] * 3 + ["ehin"] * 3
    assert [run.seed for run in runs.values()] == [0, 1, 2] * 2
    shown = {
        repr(run.localizer.training.model_copy(update={"negatives": 0})) for run in runs.values()
    }
    assert len(shown) == 1
    default = load([ROOT / "config.yaml"]).localizer
    tris = runs["tris-0"].localizer
    fewer = default.training.model_copy(update={"texts_per_image": tris.training.texts_per_image})
    assert tris == default.model_copy(update={"training": fewer})
    assert runs["ehin-0"].ehin.loss_weights.contrast == default.loss_weights.contrast


def test_the_ladder_of_refiners_varies_the_chain_alone_over_three_seeds() -> None:
    config = merged("experiments/ablations/refiners.yaml")
    chains: dict[str, dict[int, tuple[str, ...]]] = {}
    rest = set()
    for name in config.runs:
        settings = run_config(config, name)
        chains.setdefault(name.rpartition("-")[0], {})[settings.seed] = tuple(
            settings.pseudo_labels.refine
        )
        dump = settings.model_dump(exclude={"seed", "runs"})
        dump["pseudo_labels"]["refine"] = None
        if not name.startswith("published"):
            rest.add(repr(dump))
    assert len(rest) == 1
    assert all(list(seeds) == [0, 1, 2] for seeds in chains.values())
    assert all(len(set(seeds.values())) == 1 for seeds in chains.values())
    of = {name: list(seeds[0]) for name, seeds in chains.items()}
    default = load([ROOT / "config.yaml"]).pseudo_labels.refine
    assert default in of.values() and of["irnet"] == of["published"] == ["prms", "irnet"]
    assert len({repr(chain) for chain in of.values()}) == len(of) - 1
    irnet = run_config(config, "published-2").pseudo_labels.irnet
    assert (irnet.walk.beta, irnet.walk.exp_times, irnet.instances.background) == (10, 8, 0.25)
