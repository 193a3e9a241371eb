"""How a network is trained; the same words for every stage and method."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, NonNegative, Positive, Section, Share


class Optimisation(Section):
    """How a network is trained; the same words for every stage and method."""

    optimiser: Literal["adamw", "adam", "sgd"]
    learning_rate: Positive
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
    ``held_out`` images of the training split are not trained on but judge the epochs; ``result:
    best`` ends with the weights of the best epoch.
    """

    encoder_scale: NonNegative
    epochs: Count
    batch_size: Annotated[int, Field(ge=2)]
    texts_per_image: Count
    sampling: Literal["expressions", "referents", "images"]
    distinct_referents: bool
    augment: list[Literal["photometric", "flip"]]
    photometric_strength: Share
    negatives: Annotated[int, Field(ge=0)]
    held_out: Annotated[int, Field(ge=0)]
    result: Literal["last", "best"]

    @model_validator(mode="after")
    def _referents_can_be_kept_apart(self) -> Training:
        if self.distinct_referents and self.sampling == "referents":
            raise MisfitError(
                "distinct_referents",
                True,
                "false with sampling: referents; true needs sampling: expressions or images",
            )
        return self
