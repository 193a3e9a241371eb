"""The dataset, and the miniature that is drawn where none is given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, Name, NonNegative, Section, Share, names_of

Reader = Literal["refer", "grefs", "referit", "csv"]


class OtherDataset(Section):
    """A dataset whose images are not to be learned from; only its files are read."""

    reader: Reader
    folder: str
    split_by: Name
    splits: Annotated[list[Name], Field(min_length=1)]


class Dataset(Section):
    name: Name
    source: Literal["miniature", "folder", "download"]
    reader: Reader
    folder: str
    split_by: Name
    overlapping_polygons: Literal["union", "background"]
    categories: Literal["all", "seen_and_unseen"]
    held_out: Annotated[float, Field(gt=0, lt=1)]
    minimum_box_share: Annotated[float, Field(ge=0, lt=1)]
    exclude_images_of: list[OtherDataset]
    text: Literal["raw", "sentence"]
    train: Name
    evaluate: Annotated[list[Name], Field(min_length=1)]
    headline: Name
    sample: dict[Name, Count]

    @model_validator(mode="after")
    def _splits_are_apart(self) -> Dataset:
        if self.train in self.evaluate:
            raise MisfitError("evaluate", self.evaluate, f"splits other than train, {self.train!r}")
        if self.headline not in self.evaluate:
            raise MisfitError(
                "headline", self.headline, f"one of evaluate: {names_of(self.evaluate)}"
            )
        if not set(self.sample) <= set(self.splits):
            raise MisfitError("sample", self.sample, f"of splits in use: {names_of(self.splits)}")
        if self.source == "miniature":
            if self.reader != "refer":
                raise MisfitError("reader", self.reader, "refer with source: miniature")
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
