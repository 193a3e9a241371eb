"""Stage-2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, NonNegative, Section
from pipeline.config.training import Training


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
