"""From a seed and an index to one finished example; any one can be made alone, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.miniature.attributes import ALL_PAIRS, COMMON_PAIRS, HELD_OUT
from pipeline.miniature.language import Referent, referents
from pipeline.miniature.render import Image, render
from pipeline.miniature.scenes import Scene, SceneSettings, sample_scene, silhouettes, visible_parts
from pipeline.miniature.shapes import Bools

# The second word of every seed: the dataset and the pretraining texts never share random numbers.
DATASET_STREAM, CAPTION_STREAM, DECOMPOSITION_STREAM, MASK_STREAM = 0, 1, 2, 3
_ATTEMPTS = 50


@dataclass(frozen=True)
class SplitSizes:
    """Images a split. testB holds compositions of colour and shape that no other split has."""

    train: int
    val: int
    testA: int  # noqa: N815 (the name that REFER gives it)
    testB: int  # noqa: N815

    def total(self) -> int:
        """Images in all."""
        return self.train + self.val + self.testA + self.testB


@dataclass(frozen=True)
class MiniatureSettings:
    """Everything that decides the dataset, down to the last bit."""

    seed: int
    splits: SplitSizes
    scene: SceneSettings


@dataclass(frozen=True)
class Example:
    """One picture with everything known of it."""

    index: int
    split: str
    scene: Scene
    image: Image  # uint8 (H,W,3)
    visible: Bools  # (N,H,W), disjoint
    referents: tuple[Referent, ...]


def generator(*words: int) -> np.random.Generator:
    """Random numbers that depend on these words alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(words))))


def split_of(settings: MiniatureSettings, index: int) -> str:
    """Images are numbered through the splits, in the order of ``SplitSizes``."""
    splits = settings.splits
    for name in ("train", "val", "testA", "testB"):
        size = int(getattr(splits, name))
        if index < size:
            return name
        index -= size
    raise IndexError(f"the dataset has {splits.total()} images")


def _meant(settings: MiniatureSettings, index: int) -> tuple[Scene, Bools, list[Referent], int]:
    """The first scene of this index's stream in which something can be referred to."""
    novel = split_of(settings, index) == "testB"
    for attempt in range(_ATTEMPTS):
        words = (settings.seed, DATASET_STREAM, index, attempt)
        scene = sample_scene(
            generator(*words, 0),
            settings.scene,
            allowed=ALL_PAIRS if novel else COMMON_PAIRS,
            first=HELD_OUT if novel else None,
        )
        visible = visible_parts(silhouettes(scene))
        eligible = [
            i for i, o in enumerate(scene.objects) if not novel or (o.colour, o.shape) in HELD_OUT
        ]
        found = referents(scene, visible, generator(*words, 1), eligible)
        if found:
            return scene, visible, found, attempt
    raise ValueError(f"no object of image {index} can be referred to: {settings.scene}")


def scene_of(settings: MiniatureSettings, index: int) -> Scene:
    """The ground truth behind image ``index`` (0-based); nothing of it is written to disk."""
    return _meant(settings, index)[0]


def example_of(settings: MiniatureSettings, index: int) -> Example:
    """Image ``index`` (0-based) with its masks and sentences."""
    scene, visible, found, attempt = _meant(settings, index)
    words = (settings.seed, DATASET_STREAM, index, attempt)
    image, _ = render(scene, generator(*words, 2))
    return Example(index, split_of(settings, index), scene, image, visible, tuple(found))
