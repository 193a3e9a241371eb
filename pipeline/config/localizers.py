"""Stage-1: what every localizer shares, and what one method has beyond it."""

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
from pipeline.config.training import Training


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
    ``loss_starts``, and ``method: pcnet`` the section ``pcnet`` in place of these and of
    ``prompt_texts``. With ``training.sampling: images`` no image is twice in a batch: every text of
    an image is its own, so ``same_image`` has nothing to decide and ``positives: referent`` is
    ``text``.
    """

    method: Literal["tris", "ehin", "pcnet"]
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
