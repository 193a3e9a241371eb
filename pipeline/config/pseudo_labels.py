"""Pseudo-labels: a list of refiners and the numbers of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.irnet import Irnet
from pipeline.config.sam import SamPrompt
from pipeline.config.section import Count, MisfitError, Name, NonNegative, Positive, Section

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
        list[
            Literal["threshold", "prms", "exclusion", "irnet", "crf", "proposal_snap", "sam_prompt"]
        ],
        Field(min_length=1),
    ]
    splits: Annotated[list[Name], Field(min_length=1)]
    threshold: Threshold
    prms: Prms
    exclusion: Exclusion
    irnet: Irnet
    crf: Crf
    proposal_snap: ProposalSnap
    sam_prompt: SamPrompt

    @property
    def before_irnet(self) -> list[str]:
        """The refiners that make the maps that IRNet learns from; the list must have ``irnet``."""
        return list(self.refine[: self.refine.index("irnet")])

    @model_validator(mode="after")
    def _ends_in_masks(self) -> PseudoLabels:
        if self.refine[-1] in ("prms", "exclusion"):
            raise MisfitError(
                "refine",
                self.refine,
                "a list that ends in what makes masks: threshold, irnet, crf, proposal_snap or "
                "sam_prompt",
            )
        return self

    @model_validator(mode="after")
    def _one_irnet(self) -> PseudoLabels:
        if self.refine.count("irnet") > 1:
            raise MisfitError(
                "refine", self.refine, "a list with irnet once: there is one network to train"
            )
        return self
