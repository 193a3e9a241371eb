"""The typed schema of ``config.yaml``: names, types and bounds of every key, and no values.

``config.yaml`` holds every default, once; an overlay (``experiments/*.yaml``) names only what it
changes. ``load`` merges, checks the whole and fails with one line a mistake: the key, what was
given and what is allowed. ``runs`` expands to one configuration a run (see :mod:`pipeline.runs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.safety import InputError

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MisfitError(ValueError):
    """A value that is right by itself but not beside the others: key, value, what it may be."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        self.key, self.value, self.allowed = key, value, allowed
        super().__init__(f"{key}: {value!r} is given; it must be {allowed}")


def _names(values: Iterable[str]) -> str:
    return ", ".join(values)


class Paths(Section):
    artifacts: str
    results: str


class Machine(Section):
    """What the machine offers; no learned number depends on it but for the order of sums."""

    pretraining_threads: Count
    training_threads: Count
    shards: Count
    accelerator: Literal["auto", "cpu", "gpu"]
    workers: Annotated[int, Field(ge=0)]
    devices: Count
    image_cache_mb: Annotated[int, Field(ge=0)]
    evaluation_batch: Count


class Dataset(Section):
    name: Name
    source: Literal["miniature", "folder"]
    reader: Literal["refer"]
    folder: str
    split_by: Name
    text: Literal["raw", "sentence"]
    train: Name
    evaluate: Annotated[list[Name], Field(min_length=1)]
    headline: Name

    @model_validator(mode="after")
    def _splits_are_apart(self) -> Dataset:
        if self.train in self.evaluate:
            raise MisfitError("evaluate", self.evaluate, f"splits other than train, {self.train!r}")
        if self.headline not in self.evaluate:
            raise MisfitError(
                "headline", self.headline, f"one of evaluate: {_names(self.evaluate)}"
            )
        if self.source == "miniature":
            drawn = SplitSizes.model_fields
            if self.train not in drawn:
                raise MisfitError("train", self.train, f"one of those drawn: {_names(drawn)}")
            if not set(self.evaluate) <= set(drawn):
                raise MisfitError(
                    "evaluate", self.evaluate, f"some of those drawn: {_names(drawn)}"
                )
        return self

    @property
    def splits(self) -> list[str]:
        return [self.train, *self.evaluate]


class SplitSizes(Section):
    train: Count
    val: Count
    testA: Count  # noqa: N815 - the published split's own name
    testB: Count  # noqa: N815


class Scene(Section):
    canvas: Annotated[int, Field(ge=32, le=1024)]
    min_objects: Annotated[int, Field(ge=2)]
    max_objects: Annotated[int, Field(ge=2)]
    distractor_share: Share
    overlap_share: Share
    min_visible: Share
    clutter: Annotated[int, Field(ge=0)]
    noise: NonNegative

    @model_validator(mode="after")
    def _some_number_of_objects(self) -> Scene:
        if self.max_objects < self.min_objects:
            raise MisfitError(
                "max_objects", self.max_objects, f"min_objects {self.min_objects} or more"
            )
        return self


class Captions(Section):
    objects: Count
    scenes: Count
    object_size: Count


class Miniature(Section):
    seed: int
    splits: SplitSizes
    scene: Scene
    captions: Captions


class Optimisation(Section):
    """How a network is trained; the same words for every stage and method."""

    optimiser: Literal["adamw", "adam", "sgd"]
    learning_rate: Positive
    encoder_scale: NonNegative
    weight_decay: NonNegative
    decayed: Literal["all", "matrices"]
    momentum: Share
    schedule: Literal["polynomial", "cosine", "constant"]
    power: Positive
    warmup_steps: Annotated[int, Field(ge=0)]
    clip_norm: Positive | None
    precision: Literal["auto", "32", "bf16"]
    ema: Share | None
    checkpoint_minutes: Positive
    curve_steps: Count


class Training(Optimisation):
    """How a stage of the method is trained.

    ``batch_size`` counts expressions, or with ``sampling: images`` images. ``texts_per_image`` is
    read with ``sampling: images`` alone, ``photometric_strength`` where ``augment`` holds it.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    texts_per_image: Count
    sampling: Literal["expressions", "referents", "images"]
    distinct_referents: bool
    augment: list[Literal["photometric", "flip"]]
    photometric_strength: Share
    negatives: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _referents_can_be_kept_apart(self) -> Training:
        if self.distinct_referents and self.sampling != "expressions":
            raise MisfitError(
                "distinct_referents",
                True,
                f"false with sampling: {self.sampling}; true needs sampling: expressions",
            )
        return self


class Encoder(Section):
    """An open_clip model by name and tag, or by the folder of the pipeline's own small CLIP."""

    model: str
    pretrained: str | None
    output_stride: Literal[16, 32]
    context: Annotated[int, Field(ge=3)]
    image_size: Annotated[int, Field(ge=32)]
    normalise: Literal["clip", "imagenet"]


class ClipLossWeights(Section):
    contrastive: NonNegative
    words: NonNegative


class ClipPhase(Section):
    """A stretch of the small CLIP's pretraining on one kind of picture."""

    kind: Literal["object", "scene"]
    steps: Count
    batch_size: Annotated[int, Field(ge=2)]


class SmallClip(Section):
    """The miniature's own CLIP, of open_clip's classes."""

    vision: Literal["resnet", "vit"]
    embed_dim: Count
    vision_layers: list[Count]
    vision_width: Count
    text_layers: Count
    text_width: Count
    text_heads: Count
    patch_size: Count
    held_out: Count
    group: Count
    loss_weights: ClipLossWeights
    phases: Annotated[list[ClipPhase], Field(min_length=1)]
    optimisation: Optimisation


class Superpixels(Section):
    """Class-agnostic proposals without a network, see ``proposals/superpixels.py``."""

    method: Literal["superpixels"]
    working_side: Count
    scale: Positive
    sigma: NonNegative
    atom_size: Count
    medians: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    size_power: NonNegative
    minimum_area: Count
    maximum_share: Share
    maximum_overlap: Share
    keep: Count


def weighted(weights: Section) -> list[str]:
    """The names of the losses with a weight above 0, in order."""
    return [name for name, weight in weights.model_dump().items() if weight > 0]


class LossWeights(Section):
    classification: NonNegative
    contrast: NonNegative
    foreground: NonNegative
    calibration: NonNegative


class LossStarts(Section):
    """From which share of the steps a term counts: the critic may come in late."""

    classification: Share
    contrast: Share
    foreground: Share
    calibration: Share


class Localizer(Section):
    """Stage-1: TRIS (Liu et al., ICCV 2023), and what EHIN shares with it.

    ``method: ehin`` reads the section ``ehin`` in place of ``alpha``, ``loss_weights`` and
    ``loss_starts``. With ``training.sampling: images`` no image is twice in a batch: every text of
    an image is its own, so ``same_image`` has nothing to decide and ``positives: referent`` is
    ``text``.
    """

    method: Literal["tris", "ehin"]
    hidden: Count
    alpha: NonNegative
    temperature: Positive
    prompt_texts: Literal["batch", "own"]
    levels: Annotated[list[int], Field(min_length=1)]
    coordinates: bool
    projection: Literal["random", "clip"]
    positives: Literal["identity", "text", "referent"]
    same_image: Literal["negative", "ignore"]
    focal_power: NonNegative
    focal_floor: Positive
    cosine_floor: Positive
    cosine_ceiling: Share
    loss_weights: LossWeights
    loss_starts: LossStarts
    training: Training

    @property
    def terms(self) -> list[str]:
        """The losses of TRIS with a weight; the others are not computed."""
        return weighted(self.loss_weights)

    @model_validator(mode="after")
    def _terms_can_be_computed(self) -> Localizer:
        if self.method == "tris":
            weights = self.loss_weights.model_dump()
            if not self.terms:
                raise MisfitError("loss_weights", weights, "above 0 for at least one term")
            if "calibration" in self.terms and self.training.negatives == 0:
                raise MisfitError(
                    "training.negatives",
                    0,
                    f"1 or more with loss_weights.calibration {weights['calibration']:g}",
                )
        if self.cosine_floor >= self.cosine_ceiling:
            raise MisfitError(
                "cosine_floor", self.cosine_floor, f"below cosine_ceiling {self.cosine_ceiling:g}"
            )
        return self


class Hipm(Section):
    prompts: Count
    residual: Literal["none", "once", "twice"]
    alpha: NonNegative
    beta: NonNegative
    output: Literal["added", "last"]


class Eclm(Section):
    level: Literal["early", "late"]
    negatives: Literal["sum_times_k", "mean"]


class EhinLossWeights(Section):
    foreground: NonNegative
    eclm: NonNegative
    background: NonNegative
    contrast: NonNegative


class EhinLossStarts(Section):
    foreground: Share
    eclm: Share
    background: Share
    contrast: Share


class Ehin(Section):
    """EHIN Stage-1 (Li et al.): what it has beyond :class:`Localizer`; read with its method."""

    hipm: Hipm
    eclm: Eclm
    similarity: Literal["response", "clip"]
    loss_weights: EhinLossWeights
    loss_starts: EhinLossStarts

    @property
    def terms(self) -> list[str]:
        """The losses with a weight; the others are not computed."""
        return weighted(self.loss_weights)

    @property
    def negative_terms(self) -> list[str]:
        """The losses among them that set a text against the batch's ``negatives``."""
        asked = {"eclm", "background"} if self.similarity == "clip" else {"eclm"}
        return [term for term in self.terms if term in asked]

    @model_validator(mode="after")
    def _something_teaches(self) -> Ehin:
        if not self.terms:
            raise MisfitError(
                "loss_weights", self.loss_weights.model_dump(), "above 0 for at least one term"
            )
        return self


MapThreshold = Literal["positive"] | Annotated[float, Field(ge=0, lt=1)]


class Threshold(Section):
    threshold: MapThreshold


class Prms(Section):
    combine: Literal["best", "mean"]
    batch_size: Count


class Exclusion(Section):
    weight: Annotated[float, Field(gt=0, le=1)]


class CrfKernels(Section):
    gaussian_sxy: Positive
    gaussian_compat: NonNegative
    bilateral_sxy: Positive
    bilateral_srgb: Positive
    bilateral_compat: NonNegative


class Crf(Section):
    iterations: Count
    kernels: CrfKernels
    unary: Literal["labels", "soft"]
    gt_prob: Annotated[float, Field(gt=0.5, lt=1)]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    keep_probability: bool


class ProposalSnap(Section):
    target: Literal["soft", "mask"]
    minimum_gain: float
    threshold: MapThreshold


class PseudoLabels(Section):
    refine: Annotated[
        list[Literal["threshold", "prms", "exclusion", "crf", "proposal_snap"]],
        Field(min_length=1),
    ]
    splits: Annotated[list[Name], Field(min_length=1)]
    threshold: Threshold
    prms: Prms
    exclusion: Exclusion
    crf: Crf
    proposal_snap: ProposalSnap

    @model_validator(mode="after")
    def _ends_in_masks(self) -> PseudoLabels:
        if self.refine[-1] in ("prms", "exclusion"):
            raise MisfitError(
                "refine",
                self.refine,
                "a list that ends in what makes masks: threshold, crf or proposal_snap",
            )
        return self


class SegmentorLossWeights(Section):
    segmentation: NonNegative
    deep_supervision: NonNegative


class TrisSegmentor(Section):
    """TRIS Stage-2; ``supervision: masks`` is the fully supervised reference."""

    method: Literal["tris"]
    supervision: Literal["pseudo_labels", "masks"]
    levels: Annotated[list[int], Field(min_length=1)]
    hidden: Count
    widths: Annotated[list[Count], Field(min_length=1)]
    coordinates: bool
    film: bool
    loss: Literal["bce", "ce_dice"]
    loss_stride: Annotated[int, Field(ge=1, le=8)]
    loss_weights: SegmentorLossWeights
    training: Training


class Inference(Section):
    """Whether trained networks also look at the mirrored image, its sentences mirrored too."""

    mirror_responses: bool
    mirror_masks: bool


# What the published evaluators give to methods (``evaluation/conventions.py``); figures of another
# text are not theirs. ``default`` is our own and takes either.
PUBLISHED_TEXT = {"tris": "sentence", "cris": "sentence", "lavt": "raw", "rela": "raw"}


class Evaluation(Section):
    convention: Literal["default", "tris", "lavt", "cris", "rela"]
    bootstrap: Annotated[int, Field(ge=0)]


class Report(Section):
    gallery: Count


class Config(Section):
    """One run's whole configuration. ``runs`` is expanded by :func:`run_configs`."""

    seed: Annotated[int, Field(ge=0)]
    paths: Paths
    machine: Machine
    dataset: Dataset
    miniature: Miniature
    small_clip: SmallClip
    encoder: Encoder
    critic: Encoder
    proposals: Superpixels
    localizer: Localizer
    ehin: Ehin
    pseudo_labels: PseudoLabels
    segmentor: TrisSegmentor
    inference: Inference
    evaluation: Evaluation
    report: Report
    runs: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]

    @model_validator(mode="after")
    def _sections_agree(self) -> Config:
        text, rule = self.dataset.text, self.evaluation.convention
        if PUBLISHED_TEXT.get(rule, text) != text:
            raise MisfitError(
                "dataset.text",
                text,
                f"{PUBLISHED_TEXT[rule]} with evaluation.convention: {rule}",
            )
        if self.localizer.method == "ehin":
            self._ehin_can_be_trained()
        splits, key = self.pseudo_labels.splits, "pseudo_labels.splits"
        if not set(splits) <= set(self.dataset.splits):
            raise MisfitError(key, splits, f"some of dataset's: {_names(self.dataset.splits)}")
        learns = self.segmentor.supervision == "pseudo_labels"
        if learns and self.dataset.train not in splits:
            raise MisfitError(
                key, splits, f"a list with dataset.train, {self.dataset.train!r}, to learn from"
            )
        return self

    def _ehin_can_be_trained(self) -> None:
        shared, terms = self.localizer, self.ehin.negative_terms
        if shared.prompt_texts != "batch":
            raise MisfitError(
                "localizer.prompt_texts", shared.prompt_texts, "batch with localizer.method: ehin"
            )
        if shared.positives == "identity":
            raise MisfitError(
                "localizer.positives",
                shared.positives,
                "text or referent with localizer.method: ehin, where equal texts are no negatives",
            )
        if terms and shared.training.negatives == 0:
            raise MisfitError(
                "localizer.training.negatives", 0, f"1 or more with ehin.loss_weights.{terms[0]}"
            )


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``overlay`` put over it, mapping by mapping; lists are replaced."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; :class:`InputError` if it is missing, broken or no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); run from the repository root "
            "or name the file with --config"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of keys, not a {type(content).__name__}")
    return content


def load(paths: Iterable[Path]) -> Config:
    """Merge the files in order and check the result, the overlays of every run included."""
    merged: dict[str, Any] = {}
    names = []
    for path in paths:
        merged = merge(merged, read_yaml(Path(path)))
        names.append(str(path))
    return check(merged, source=" + ".join(names))


def check(content: Mapping[str, Any], *, source: str = "config") -> Config:
    """``content`` as a :class:`Config`; one line of the error for each key that is wrong.

    A run whose overlay is null is dropped (so that an overlay file can leave out a default run).
    """
    content = dict(content)
    if isinstance(content.get("runs"), Mapping):
        content["runs"] = {k: v for k, v in content["runs"].items() if v is not None}
    config = _validate(content, source)
    for name, overlay in config.runs.items():
        outside = set(overlay) & RUN_INDEPENDENT
        if outside:
            raise InputError(
                f"{source}: runs.{name}.{sorted(outside)[0]}: is shared by all runs; "
                "set it at the top level"
            )
        section = overlay.get("pseudo_labels")
        if isinstance(section, Mapping) and "splits" in section:
            raise InputError(
                f"{source}: runs.{name}.pseudo_labels.splits: is shared by all runs, as their "
                "proposals are; set it at the top level"
            )
        _validate(merge(content, overlay), f"{source}: runs.{name}")
    return config


RUN_INDEPENDENT = frozenset(
    {"paths", "machine", "dataset", "miniature", "small_clip", "proposals", "report", "runs"}
)


def run_config(config: Config, run: str) -> Config:
    """The configuration of one run: the base with the run's overlay put over it."""
    if run not in config.runs:
        raise InputError(f"runs: there is no run {run!r}; known runs: {', '.join(config.runs)}")
    return _validate(merge(config.model_dump(), config.runs[run]), f"runs.{run}")


def _validate(content: Mapping[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [f"{source}: {line}" for line in _explanations(error)]
        raise InputError("\n".join(lines)) from None


def _explanations(error: ValidationError) -> list[str]:
    """One line a wrong key; where a value may be of several types, what each of them asks for."""
    found: dict[tuple[int | str, ...], list[Any]] = {}
    for item in error.errors():
        place = tuple(part for part in item["loc"] if not _is_branch(part))
        found.setdefault(place, []).append(item)
    return [_explain(place, items) for place, items in found.items()]


def _explain(place: tuple[int | str, ...], items: list[Any]) -> str:
    """One mistake in a line: the key, what is allowed, what was given."""
    key, item = ".".join(map(str, place)), items[0]
    mistake = item.get("ctx", {}).get("error")
    if isinstance(mistake, MisfitError):
        return f"{key}.{mistake}".removeprefix(".")
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_allowed(item['loc']))}"
    if item["type"] == "missing":
        return f"{key}: missing; config.yaml shows every key with its default"
    return f"{key}: {', or '.join(i['msg'] for i in items)} (given: {item['input']!r})"


def _is_branch(part: int | str) -> bool:
    """Is this part of a location no key but one of the types that a value may have?"""
    return isinstance(part, str) and part.startswith(("literal[", "constrained-"))


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section around ``location`` knows."""
    section: Any = Config
    for part in location[:-1]:
        field = section.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            break
        section = field.annotation
        for candidate in getattr(section, "__args__", ()):
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                section = candidate
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return ["(a value)"]
    return sorted(section.model_fields)
