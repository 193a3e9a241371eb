"""Stage-2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.sam import SamPrompt
from pipeline.config.section import (
    Count,
    MisfitError,
    NonNegative,
    Positive,
    Section,
    Share,
)
from pipeline.config.training import Training


class SegmentorLossWeights(Section):
    segmentation: NonNegative
    deep_supervision: NonNegative


class Consistency(Section):
    """Stage-2 also agrees with the average of its own weights, ``training.ema`` (EHIN)."""

    loss: Literal["none", "mse", "kl"]
    weight: Positive
    start: Share


class Segmentor(Section):
    """TRIS Stage-2, or in its place SAM, which is not trained but asked where the response peaks.

    ``supervision: masks`` is the fully supervised reference. With ``method: sam`` only ``sam`` is
    read.
    """

    method: Literal["tris", "sam"]
    sam: SamPrompt
    supervision: Literal["pseudo_labels", "masks"]
    no_target: Literal["learn", "ignore"]
    levels: Annotated[list[int], Field(min_length=1)]
    hidden: Count
    widths: Annotated[list[Count], Field(min_length=1)]
    coordinates: bool
    film: bool
    loss: Literal["bce", "ce_dice"]
    loss_stride: Annotated[int, Field(ge=1, le=8)]
    loss_weights: SegmentorLossWeights
    consistency: Consistency
    training: Training

    @model_validator(mode="after")
    def _has_a_teacher(self) -> Segmentor:
        if self.consistency.loss != "none" and self.training.ema is None:
            raise MisfitError(
                "training.ema", None, f"a decay with consistency.loss: {self.consistency.loss}"
            )
        return self

    @model_validator(mode="after")
    def _is_not_taught(self) -> Segmentor:
        if self.method == "sam" and self.supervision == "masks":
            raise MisfitError(
                "supervision", "masks", "pseudo_labels with method: sam, which is not trained"
            )
        return self
