"""PCNet, Stage-1: what it has beyond the localizers' common section."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import (
    Count,
    MisfitError,
    NonNegative,
    Positive,
    Section,
    Share,
    weighted,
)


class Crm(Section):
    """The conditional referring modules, one a stage; see ``localizers/crm.py``."""

    stages: Count
    modulation: Literal["none", "add", "tta", "vta_add", "vta_tta"]
    told: Literal["cues", "text"]
    negatives: Literal["all"] | Annotated[int, Field(ge=0)]
    visual: NonNegative
    stage_weights: Annotated[list[NonNegative], Field(min_length=1)]
    answer: Literal["last"] | Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _every_stage_has_its_numbers(self) -> Crm:
        if len(self.stage_weights) < self.stages:
            raise MisfitError(
                "stage_weights", self.stage_weights, f"{self.stages} or more, one a stage"
            )
        if not any(self.stage_weights[: self.stages]):
            raise MisfitError(
                "stage_weights", self.stage_weights, "above 0 for at least one of the stages"
            )
        if self.answer != "last" and self.answer >= self.stages:
            raise MisfitError("answer", self.answer, f"last, or below stages {self.stages}")
        return self


class Shrinking(Section):
    """The region-aware shrinking loss; see ``localizers/region_losses.py``."""

    alignment: Literal["max", "avg"]
    background: Literal["others", "outside"]
    earlier: Literal["learns", "fixed"]


class Disambiguation(Section):
    """The instance-aware disambiguation loss; see ``localizers/region_losses.py``."""

    others: Count
    alignment: Literal["max", "avg"]
    form: Literal["distance", "overlap", "kl"]
    scores: Literal["raw", "softmax"]
    temperature: Positive


class PcnetLossWeights(Section):
    classification: NonNegative
    contrast: NonNegative
    shrinking: NonNegative
    disambiguation: NonNegative


class PcnetLossStarts(Section):
    classification: Share
    contrast: Share
    shrinking: Share
    disambiguation: Share


class Pcnet(Section):
    """PCNet Stage-1: what it has beyond :class:`Localizer`; read with its method."""

    crm: Crm
    shrinking: Shrinking
    disambiguation: Disambiguation
    loss_weights: PcnetLossWeights
    loss_starts: PcnetLossStarts

    @property
    def terms(self) -> list[str]:
        """The losses with a weight; the others are not computed."""
        return weighted(self.loss_weights)

    @property
    def region_terms(self) -> list[str]:
        """The losses among them that look at proposals."""
        return [term for term in self.terms if term in ("shrinking", "disambiguation")]

    @model_validator(mode="after")
    def _terms_can_be_computed(self) -> Pcnet:
        weights = self.loss_weights
        if not self.terms:
            raise MisfitError("loss_weights", weights.model_dump(), "above 0 for at least one term")
        if "shrinking" in self.terms and self.crm.stages == 1:
            raise MisfitError(
                "loss_weights.shrinking", weights.shrinking, "0 with crm.stages 1: it compares two"
            )
        return self
