"""The dataset, and the miniature that is drawn where none is given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, Name, NonNegative, Section, Share, names_of


class Dataset(Section):
    name: Name
    source: Literal["miniature", "folder"]
    reader: Literal["refer"]
    folder: str
    split_by: Name
    text: Literal["raw", "sentence"]
    train: Name
    evaluate: Annotated[list[Name], Field(min_length=1)]
    headline: Name

    @model_validator(mode="after")
    def _splits_are_apart(self) -> Dataset:
        if self.train in self.evaluate:
            raise MisfitError("evaluate", self.evaluate, f"splits other than train, {self.train!r}")
        if self.headline not in self.evaluate:
            raise MisfitError(
                "headline", self.headline, f"one of evaluate: {names_of(self.evaluate)}"
            )
        if self.source == "miniature":
            drawn = SplitSizes.model_fields
            if self.train not in drawn:
                raise MisfitError("train", self.train, f"one of those drawn: {names_of(drawn)}")
            if not set(self.evaluate) <= set(drawn):
                raise MisfitError(
                    "evaluate", self.evaluate, f"some of those drawn: {names_of(drawn)}"
                )
        return self

    @property
    def splits(self) -> list[str]:
        return [self.train, *self.evaluate]


class SplitSizes(Section):
    train: Count
    val: Count
    testA: Count  # noqa: N815 - the published split's own name
    testB: Count  # noqa: N815


class Scene(Section):
    canvas: Annotated[int, Field(ge=32, le=1024)]
    min_objects: Annotated[int, Field(ge=2)]
    max_objects: Annotated[int, Field(ge=2)]
    distractor_share: Share
    overlap_share: Share
    min_visible: Share
    clutter: Annotated[int, Field(ge=0)]
    noise: NonNegative

    @model_validator(mode="after")
    def _some_number_of_objects(self) -> Scene:
        if self.max_objects < self.min_objects:
            raise MisfitError(
                "max_objects", self.max_objects, f"min_objects {self.min_objects} or more"
            )
        return self


class Captions(Section):
    objects: Count
    scenes: Count
    object_size: Count


class Miniature(Section):
    seed: int
    splits: SplitSizes
    scene: Scene
    captions: Captions
