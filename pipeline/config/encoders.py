"""Encoders, and the small CLIP that the miniature trains for itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.section import Count, NonNegative, Section
from pipeline.config.training import Optimisation


class Encoder(Section):
    """An open_clip model by name and tag, or by the folder of the pipeline's own small CLIP.

    In place of a tag, which open_clip resolves by itself, ``pretrained`` may be a file of weights.
    """

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
