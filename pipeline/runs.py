"""Which settings matter to which step, and which runs share an artifact.

A *run* is the base configuration with a small overlay (another seed, another refiner, true masks).
Runs whose settings agree for a step and for everything before it share that step's artifact: it is
made once, under the name of the first such run (:func:`owner`).
"""

from __future__ import annotations

from typing import Any

from pipeline.config import Config, run_config

# Step -> the keys of the configuration that it reads. A key that is not listed must not be used.
STEP_KEYS: dict[str, tuple[str, ...]] = {
    "miniature": ("miniature.seed", "miniature.splits", "miniature.scene"),
    "captions": ("miniature.seed", "miniature.scene", "miniature.captions"),
    "pretrain": (
        "seed",
        "small_clip",
        "miniature.scene.canvas",
        "encoder.context",
        "encoder.output_stride",
        "encoder.normalise",
    ),
    "tables": ("dataset",),
    "propose": ("proposals", "pseudo_labels.splits", "machine.shards", "dataset"),
    "train_localizer": ("seed", "dataset", "encoder", "critic", "localizer", "ehin"),
    "respond": ("dataset", "encoder", "localizer", "ehin", "inference.mirror_responses"),
    "refine": ("seed", "dataset", "critic", "pseudo_labels", "machine.shards"),
    "train_segmentor": ("seed", "dataset", "encoder", "segmentor"),
    "segment": (
        "dataset",
        "encoder",
        "segmentor",
        "inference.mirror_masks",
        "evaluation.convention",
    ),
    "evaluate": ("dataset", "encoder.image_size", "pseudo_labels.splits", "evaluation", "seed"),
    "report": ("seed", "dataset", "encoder.image_size", "evaluation", "report", "runs"),
}

# Section of one method -> the key that names the method: to all other runs the section is nothing,
# and their artifacts are the same whatever it says.
METHOD_SECTIONS = {"ehin": "localizer.method"}

# Step -> the steps of the same run whose artifacts it reads.
STEP_INPUTS: dict[str, tuple[str, ...]] = {
    "train_localizer": (),
    "respond": ("train_localizer",),
    "refine": ("respond",),
    "train_segmentor": ("refine",),
    "segment": ("train_segmentor",),
    "evaluate": ("segment",),
}


def is_supervised(config: Config) -> bool:
    """Does this run learn from true masks? Then it has no localizer and no pseudo-labels."""
    return config.segmentor.supervision == "masks"


def step_settings(config: Config, run: str | None, step: str) -> dict[str, Any]:
    """The slice of the configuration that ``step`` reads, by dotted key."""
    content = (run_config(config, run) if run is not None else config).model_dump(mode="json")
    return {
        key: _at(content, key)
        for key in STEP_KEYS[step]
        if key not in METHOD_SECTIONS or _at(content, METHOD_SECTIONS[key]) == key
    }


def owner(config: Config, run: str, step: str) -> str:
    """The first run whose ``step`` makes the very same artifact as that of ``run``."""
    mine = _lineage(config, run, step)
    for other in config.runs:
        if other == run or _lineage(config, other, step) == mine:
            return other
    raise AssertionError("a run owns its own artifacts")


def _lineage(config: Config, run: str, step: str) -> list[Any]:
    """The settings of ``step`` and of every step before it."""
    settings: list[Any] = [step, step_settings(config, run, step)]
    supervised = is_supervised(run_config(config, run))
    for before in STEP_INPUTS[step]:
        if before == "refine" and supervised:
            continue
        settings.append(_lineage(config, run, before))
    return settings


def _at(content: dict[str, Any], dotted: str) -> Any:
    value: Any = content
    for part in dotted.split("."):
        value = value[part]
    return value
