"""The whole configuration of a run, and what its sections must agree on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from pipeline.config.cues import Cues, SmallLlm
from pipeline.config.data import Dataset, Miniature
from pipeline.config.download import Download
from pipeline.config.encoders import Encoder, SmallClip
from pipeline.config.localizers import Ehin, Localizer
from pipeline.config.machine import Machine, Paths
from pipeline.config.pcnet import Pcnet
from pipeline.config.proposals import Proposals
from pipeline.config.pseudo_labels import PseudoLabels
from pipeline.config.report import Evaluation, Report
from pipeline.config.sam import Sam, SmallSam
from pipeline.config.section import MisfitError, Name, Section, names_of
from pipeline.config.segmentors import Segmentor


class Inference(Section):
    """Whether trained networks also look at the mirrored image, its sentences mirrored too."""

    mirror_responses: bool
    mirror_masks: bool


# What the published evaluators give to methods (``evaluation/conventions.py``); figures of another
# text are not theirs. ``default`` is our own and takes either.
PUBLISHED_TEXT = {"tris": "sentence", "cris": "sentence", "lavt": "raw", "rela": "raw"}


class Config(Section):
    """One run's whole configuration. ``runs`` is expanded by :func:`run_configs`."""

    seed: Annotated[int, Field(ge=0)]
    paths: Paths
    machine: Machine
    dataset: Dataset
    download: Download
    miniature: Miniature
    small_clip: SmallClip
    small_llm: SmallLlm
    small_sam: SmallSam
    encoder: Encoder
    critic: Encoder
    proposals: Proposals
    sam: Sam
    cues: Cues
    localizer: Localizer
    ehin: Ehin
    pcnet: Pcnet
    pseudo_labels: PseudoLabels
    segmentor: Segmentor
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
        if self.localizer.method == "pcnet":
            self._pcnet_can_be_trained()
        if self.dataset.source == "download" and self.download.dataset is None:
            raise MisfitError(
                "download.dataset", None, "a dataset of the table with dataset.source: download"
            )
        splits, key = self.pseudo_labels.splits, "pseudo_labels.splits"
        if not set(splits) <= set(self.dataset.splits):
            raise MisfitError(key, splits, f"some of dataset's: {names_of(self.dataset.splits)}")
        rungs, labels = self.evaluation.rungs, self.pseudo_labels
        learns = self.segmentor.supervision == "pseudo_labels" and "segmentor" in rungs
        if learns and self.segmentor.method != "sam" and self.dataset.train not in splits:
            raise MisfitError(
                key, splits, f"a list with dataset.train, {self.dataset.train!r}, to learn from"
            )
        # proposals are made for these splits, and IRNet learns from the training split alone
        chosen = "irnet" in labels.refine and "proposal_snap" in labels.before_irnet
        if chosen and self.dataset.train not in splits:
            raise MisfitError(
                key,
                splits,
                f"a list with dataset.train, {self.dataset.train!r}, with proposal_snap before "
                "irnet",
            )
        self._rungs_can_be_measured()
        return self

    def _rungs_can_be_measured(self) -> None:
        rungs, key = self.evaluation.rungs, "evaluation.rungs"
        if self.segmentor.supervision == "masks" and "segmentor" not in rungs:
            raise MisfitError(
                key, rungs, "one that names segmentor, with segmentor.supervision: masks"
            )
        if rungs == ["pseudo_label"] and self.dataset.headline not in self.pseudo_labels.splits:
            raise MisfitError(
                key,
                rungs,
                f"a list with another rung, or pseudo_labels.splits one with dataset.headline, "
                f"{self.dataset.headline!r}",
            )

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

    def _pcnet_can_be_trained(self) -> None:
        splits, terms = self.pseudo_labels.splits, self.pcnet.region_terms
        if self.pcnet.crm.stages > self.cues.count:
            raise MisfitError(
                "pcnet.crm.stages",
                self.pcnet.crm.stages,
                f"cues.count {self.cues.count} or less: a stage is told a cue",
            )
        if terms and self.dataset.train not in splits:
            raise MisfitError(
                "pseudo_labels.splits",
                splits,
                f"a list with dataset.train, {self.dataset.train!r}, whose proposals "
                f"pcnet.loss_weights.{terms[0]} needs",
            )
