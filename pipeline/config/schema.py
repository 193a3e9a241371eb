"""The whole configuration of a run, and what its sections must agree on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.config.data import Dataset, Miniature
from pipeline.config.encoders import Encoder, SmallClip
from pipeline.config.localizers import Ehin, Localizer
from pipeline.config.machine import Machine, Paths
from pipeline.config.proposals import Superpixels
from pipeline.config.pseudo_labels import PseudoLabels
from pipeline.config.section import Count, MisfitError, Name, Section, names_of
from pipeline.config.segmentors import TrisSegmentor


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
            raise MisfitError(key, splits, f"some of dataset's: {names_of(self.dataset.splits)}")
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
