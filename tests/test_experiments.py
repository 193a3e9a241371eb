"""Every overlay of ``experiments/``: what its header says, and that the workflow can plan it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, load, read_yaml, run_config
from pipeline.workflow.dvc import planned_jobs
from tests.repository import ROOT, copy_repository

OVERLAYS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("experiments/**/*.yaml"))

# What TRIS publishes, wherever the value comes from: the overlay or the default under it.
TRIS_PAPER: dict[str, Any] = {
    "encoder.model": "RN50-quickgelu",
    "encoder.pretrained": "openai",
    "encoder.output_stride": 32,
    "encoder.context": 20,
    "encoder.image_size": 320,
    "encoder.normalise": "imagenet",
    "critic.model": "ViT-B-32-quickgelu",
    "critic.pretrained": "openai",
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
    "dataset.source": "folder",
    "dataset.text": "sentence",
    "evaluation.convention": "tris",
}


def merged(overlay: str) -> Config:
    return load([ROOT / "config.yaml", ROOT / overlay])


def leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; lists are values."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("clone")).root


def test_the_overlays_are_found() -> None:
    names = {"miniature_tiny", "miniature_ehin", "tris_paper"}
    names |= {"ablations/tris_terms", "ablations/ehin_components"}
    assert {f"experiments/{name}.yaml" for name in names} <= set(OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_header_tells_command_and_cost(overlay: str) -> None:
    lines = (ROOT / overlay).read_text().splitlines()
    header = [line for line in lines[: next(n for n, line in enumerate(lines) if not line)]]
    assert all(line.startswith("#") for line in header)
    command = f"#   snakemake --cores all --configfile {overlay}"
    assert any(line == command or line.startswith(f"{command} ") for line in header)
    assert any(line.startswith("# Cost: ") for line in header)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_names_only_what_it_changes(overlay: str) -> None:
    base = dict(leaves(read_yaml(ROOT / "config.yaml")))
    same = [key for key, value in leaves(read_yaml(ROOT / overlay)) if base.get(key, "-") == value]
    assert not same


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_can_be_planned_and_spares_the_default_run(overlay: str, clone: Path) -> None:
    config, default = merged(overlay), load([ROOT / "config.yaml"])
    if config.dataset.source == "folder":
        (clone / config.dataset.folder).mkdir(parents=True, exist_ok=True)
    jobs = planned_jobs("--forceall", "--configfile", overlay, root=clone)
    stages = {job.stage for job in jobs}
    assert {f"evaluate-{run}" for run in config.runs} | {"report"} <= stages
    assert config.paths.results != default.paths.results
    assert config.paths.artifacts != default.paths.artifacts or not (
        config.runs.keys() & default.runs.keys()
    )


def test_tris_is_as_published() -> None:
    config = run_config(merged("experiments/tris_paper.yaml"), "tris_paper")
    values = dict(leaves(config.model_dump()))
    assert {key: values[key] for key in TRIS_PAPER} == TRIS_PAPER


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


def test_the_components_of_ehin_are_on_and_off_over_three_seeds() -> None:
    config = merged("experiments/ablations/ehin_components.yaml")
    variants: dict[str, dict[int, Any]] = {}
    for name in config.runs:
        settings = run_config(config, name)
        hipm, weights = settings.ehin.hipm, settings.ehin.loss_weights
        has_hipm = (hipm.prompts, hipm.residual) == (2, "twice")
        assert has_hipm or (hipm.prompts, hipm.residual) == (1, "none")
        variants.setdefault(name.partition("-")[0], {})[settings.seed] = (has_hipm, weights.eclm)
    both, hipm_alone, eclm_alone, neither = (True, 2), (True, 0), (False, 2), (False, 0)
    expected = {"both": both, "hipm": hipm_alone, "eclm": eclm_alone, "neither": neither}
    assert variants == {name: dict.fromkeys(range(3), pair) for name, pair in expected.items()}


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
    assert runs["tris-0"].localizer == default
    assert runs["ehin-0"].ehin.loss_weights.contrast == default.loss_weights.contrast
