"""Segment Anything: the one that proposes and is prompted, and the small one of the miniature."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, NonNegative, Positive, Section, Share
from pipeline.config.training import Optimisation

Prompt = Literal["point", "box", "mask", "point_and_mask"]
Choice = Literal["score", "first", "overlap"]


class SamGenerator(Section):
    """segment_anything's automatic generator, for ``proposals.method: sam``."""

    points_per_side: Count
    predicted_iou: Share
    stability: Share
    stability_offset: Positive
    box_overlap: Share


class Sam(Section):
    """A published model (``vit_b``, ``vit_l``, ``vit_h``) and its file, or a small SAM's folder."""

    model: str
    weights: str | None
    prompts_per_batch: Count
    generator: SamGenerator


class PromptsPerImage(Section):
    points: Count
    background: Annotated[int, Field(ge=0)]
    boxes: Annotated[int, Field(ge=0)]
    masks: Annotated[int, Field(ge=0)]


class SamLossWeights(Section):
    focal: NonNegative
    dice: NonNegative
    iou: NonNegative
    foreground: NonNegative
    edges: NonNegative
    centres: NonNegative


class SmallSam(Section):
    """The miniature's own SAM, of segment_anything's classes."""

    scenes: Annotated[int, Field(ge=2)]
    held_out: Count
    patch_size: Count
    stem_width: Annotated[int, Field(ge=0)]
    width: Count
    depth: Count
    heads: Count
    window: Annotated[int, Field(ge=0)]
    global_blocks: list[Annotated[int, Field(ge=0)]]
    prompt_width: Annotated[int, Field(ge=8, multiple_of=8)]
    mask_channels: Annotated[int, Field(ge=8, multiple_of=4)]
    decoder_depth: Count
    decoder_heads: Count
    decoder_mlp: Count
    iou_hidden: Count
    steps: Count
    batch_size: Count
    prompts: PromptsPerImage
    winner: Share
    loss_weights: SamLossWeights
    optimisation: Optimisation

    @model_validator(mode="after")
    def _sizes_fit(self) -> SmallSam:
        if self.stem_width and (self.patch_size < 4 or self.patch_size.bit_count() != 1):
            raise MisfitError("patch_size", self.patch_size, "a power of two from 4")
        if self.width % self.heads:
            raise MisfitError("heads", self.heads, f"a divisor of width, {self.width}")
        if self.prompt_width // 2 % self.decoder_heads:
            raise MisfitError(
                "decoder_heads",
                self.decoder_heads,
                f"a divisor of half of prompt_width, {self.prompt_width // 2}",
            )
        return self


class SamPrompt(Section):
    """How a response map prompts SAM, and which of its masks is taken."""

    prompt: Prompt
    choose: Choice
    threshold: Annotated[float, Field(ge=0, lt=1)]
