"""Which settings matter to which step, and which runs share an artifact.

A *run* is the base configuration with a small overlay (another seed, another refiner, true masks).
Runs whose settings agree for a step and for everything before it share that step's artifact: it is
made once, under the name of the first such run (:func:`owner`).
"""

from __future__ import annotations

from typing import Any

from pipeline.config import Config, run_config, variants_of

# Step -> the keys of the configuration that it reads. A key that is not listed must not be used.
STEP_KEYS: dict[str, tuple[str, ...]] = {
    "miniature": ("miniature.seed", "miniature.splits", "miniature.scene"),
    "download": (
        "dataset.source",
        "dataset.reader",
        "dataset.split_by",
        "dataset.train",
        "dataset.evaluate",
        "dataset.sample",
        "dataset.exclude_images_of",
        "dataset.categories",
        "dataset.held_out",
        "dataset.minimum_box_share",
        "download.dataset",
        "download.images",
    ),
    "captions": ("miniature.seed", "miniature.scene", "miniature.captions"),
    "pretrain": (
        "seed",
        "small_clip",
        "miniature.scene.canvas",
        "encoder.context",
        "encoder.output_stride",
        "encoder.normalise",
    ),
    "mask_scenes": ("miniature.seed", "miniature.scene", "small_sam.scenes"),
    "pretrain_sam": ("seed", "small_sam", "miniature.scene.canvas"),
    "pretrain_llm": (
        "seed",
        "small_llm",
        "miniature.seed",
        "miniature.scene",
        "cues.count",
        "cues.max_length",
        "cues.fill",
        "cues.llm",
    ),
    "tables": ("dataset",),
    "decompose": ("cues", "pseudo_labels.splits", "machine.shards", "dataset"),
    "propose": ("proposals", "sam", "pseudo_labels.splits", "machine.shards", "dataset"),
    "train_localizer": ("seed", "dataset", "encoder", "critic", "localizer", "ehin", "pcnet"),
    "respond": (
        "dataset",
        "encoder",
        "localizer",
        "ehin",
        "pcnet",
        "inference.mirror_responses",
        "evaluation.rungs",
    ),
    "label_irnet": ("seed", "dataset", "critic", "pseudo_labels", "sam", "machine.shards"),
    "train_irnet": (
        "seed",
        "dataset",
        "encoder",
        "critic",
        "pseudo_labels.irnet.trunk",
        "pseudo_labels.irnet.resnet50",
        "pseudo_labels.irnet.network",
        "pseudo_labels.irnet.loss_weights",
        "pseudo_labels.irnet.training",
    ),
    "refine": ("seed", "dataset", "encoder", "critic", "pseudo_labels", "sam", "machine.shards"),
    "train_segmentor": ("seed", "dataset", "encoder", "segmentor"),
    "segment": (
        "dataset",
        "encoder",
        "segmentor",
        "sam",
        "inference.mirror_masks",
        "evaluation.convention",
    ),
    "evaluate": ("dataset", "encoder.image_size", "pseudo_labels.splits", "evaluation", "seed"),
    "report": ("seed", "dataset", "encoder.image_size", "evaluation", "report", "runs"),
}

# Section of one method -> the key that names the method: to all other runs the section is nothing,
# and their artifacts are the same whatever it says.
METHOD_SECTIONS = {"ehin": "localizer.method", "pcnet": "localizer.method"}

# Step -> the steps of the same run whose artifacts it reads.
STEP_INPUTS: dict[str, tuple[str, ...]] = {
    "train_localizer": (),
    "respond": ("train_localizer",),
    "label_irnet": ("respond",),
    "train_irnet": ("label_irnet",),
    "refine": ("respond", "train_irnet"),
    "train_segmentor": ("refine",),
    "segment": ("train_segmentor",),
    "evaluate": ("segment",),
}


def is_supervised(config: Config) -> bool:
    """Does this run learn from true masks? Then it has no localizer and no pseudo-labels."""
    return config.segmentor.supervision == "masks"


def run_rungs(config: Config) -> list[str]:
    """What is measured of this run, from the first rung of the ladder to the last."""
    return ["segmentor"] if is_supervised(config) else list(config.evaluation.rungs)


def is_localized(config: Config) -> bool:
    """Does this run train a localizer?"""
    return not is_supervised(config)


def is_refined(config: Config) -> bool:
    """Does this run make pseudo-labels, to measure them or to learn from them?"""
    measured = "pseudo_label" in config.evaluation.rungs
    return not is_supervised(config) and (measured or learns_to_segment(config))


def is_segmented(config: Config) -> bool:
    """Does this run go on to masks by a segmentor?"""
    return "segmentor" in run_rungs(config)


def learns_to_segment(config: Config) -> bool:
    """Does this run train its segmentor? SAM is only asked."""
    return is_segmented(config) and config.segmentor.method != "sam"


def has_proposals(config: Config) -> bool:
    """Does a step of this run read proposals?"""
    snaps = is_refined(config) and "proposal_snap" in config.pseudo_labels.refine
    return snaps or learns_from_proposals(config)


def asks_sam(config: Config) -> bool:
    """Does a step of this run, or the proposals that it reads, need SAM?"""
    refines = is_refined(config) and "sam_prompt" in config.pseudo_labels.refine
    proposes = has_proposals(config) and config.proposals.method == "sam"
    segments = is_segmented(config) and config.segmentor.method == "sam"
    return refines or proposes or segments


def has_cues(config: Config) -> bool:
    """Does this run's localizer read the cues of an expression?"""
    return is_localized(config) and config.localizer.method == "pcnet"


def learns_from_proposals(config: Config) -> bool:
    """Does this run's localizer look at the proposals of the training images?"""
    return has_cues(config) and bool(config.pcnet.region_terms)


def has_irnet(config: Config) -> bool:
    """Does this run train IRNet's network and refine with it?"""
    return is_refined(config) and "irnet" in config.pseudo_labels.refine


def variants(config: Config) -> dict[str, list[str]]:
    """Variant -> the runs that differ by their seed alone; see :func:`variants_of`."""
    return variants_of({name: run_config(config, name) for name in config.runs})


def has_ablation(config: Config) -> bool:
    """Is there a variant with several seeds, so that a spread can be told?"""
    return any(len(runs) > 1 for runs in variants(config).values())


def step_settings(config: Config, run: str | None, step: str) -> dict[str, Any]:
    """The slice of the configuration that ``step`` reads, by dotted key."""
    content = (run_config(config, run) if run is not None else config).model_dump(mode="json")
    content["pseudo_labels"] = _applied(content["pseudo_labels"], step)
    if content["segmentor"]["method"] == "sam":
        content["segmentor"] = {key: content["segmentor"][key] for key in ("method", "sam")}
    else:
        del content["segmentor"]["sam"]
    if step != "propose":
        del content["sam"]["generator"]
    if step == "train_localizer":  # which stage answers is asked of the trained network
        del content["pcnet"]["crm"]["answer"]
    return {
        key: _at(content, key)
        for key in STEP_KEYS[step]
        if key not in METHOD_SECTIONS or _at(content, METHOD_SECTIONS[key]) == key
        if key != "sam" or _reads_sam(content, step)
    }


def _reads_sam(content: dict[str, Any], step: str) -> bool:
    """Does ``step`` load a SAM? ``content["pseudo_labels"]`` is that of :func:`_applied`."""
    if step == "propose":
        return bool(content["proposals"]["method"] == "sam")
    if step == "segment":
        return bool(content["segmentor"]["method"] == "sam")
    return "sam_prompt" in content["pseudo_labels"]["refine"]


def owner(config: Config, run: str, step: str) -> str:
    """The first run whose ``step`` makes the very same artifact as that of ``run``."""
    mine = _lineage(config, run, step)
    for other in config.runs:
        if other == run or (
            _takes(run_config(config, other), step) and _lineage(config, other, step) == mine
        ):
            return other
    raise AssertionError("a run owns its own artifacts")


def _lineage(config: Config, run: str, step: str) -> list[Any]:
    """The settings of ``step`` and of every step before it."""
    settings: list[Any] = [step, step_settings(config, run, step)]
    own = run_config(config, run)
    asks = step == "segment" and own.segmentor.method == "sam"
    for before in ("respond",) if asks else STEP_INPUTS[step]:
        if _takes(own, before):
            settings.append(_lineage(config, run, before))
    return settings


def _takes(config: Config, step: str) -> bool:
    """Is ``step`` among the steps of a run with this configuration?"""
    if step in ("label_irnet", "train_irnet"):
        return has_irnet(config)
    return not (step == "refine" and is_supervised(config))


def _applied(section: dict[str, Any], step: str) -> dict[str, Any]:
    """``pseudo_labels`` without what ``step`` does not apply: its numbers must not matter there."""
    if step not in ("label_irnet", "refine"):
        return section
    names, irnet = section["refine"], section["irnet"]
    if step == "label_irnet":
        names = names[: names.index("irnet")] if "irnet" in names else names
        numbers = {name: section[name] for name in (*names, "crf")}
        return {"refine": names, **numbers, "irnet": {"labels": irnet["labels"]}}
    numbers = {name: section[name] for name in names}
    if "irnet" in names:
        learned = ("labels", "loss_weights", "training")
        numbers["irnet"] = {key: value for key, value in irnet.items() if key not in learned}
    return {"refine": names, "splits": section["splits"], **numbers}


def _at(content: dict[str, Any], dotted: str) -> Any:
    value: Any = content
    for part in dotted.split("."):
        value = value[part]
    return value
