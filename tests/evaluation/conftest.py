"""A world small enough to compute by hand: tables of images, referents, sentences and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation import GroundTruth, ImagePredictions
from pipeline.store import rle_encode

DATASET, SPLIT = "toy", "val"
SIZE = (20, 20)


def rectangle(size: tuple[int, int], x: int, y: int, width: int, height: int) -> np.ndarray:
    """A bool mask (H, W) of ``size`` with one filled rectangle."""
    mask = np.zeros(size, dtype=np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    """COCO box of a mask; zeros of an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    x, y = float(columns[0]), float(rows[0])
    return x, y, float(columns[-1] - x + 1), float(rows[-1] - y + 1)


@dataclass
class World:
    """Collects rows; every referent is an annotated object too unless its mask is empty."""

    size: tuple[int, int] = SIZE
    expressions: list[dict[str, Any]] = field(default_factory=list)
    truth: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)

    def refer(
        self, image: int, ref: int, mask: np.ndarray, texts: Sequence[str], split: str = SPLIT
    ) -> None:
        """One referent with its sentences; sent ids are 10 * ref, 10 * ref + 1 ..."""
        row = self._mask_row(image, mask)
        key = {"split": split, "ref_id": ref}
        self.truth.append(row | key | {"area": int(mask.sum())})
        if mask.any():
            self.annotate(image, mask)
        for number, text in enumerate(texts):
            self.expressions.append(
                {"dataset": DATASET, "image_id": image, **key}
                | {"sent_id": 10 * ref + number, "raw": text.upper(), "sentence": text}
            )

    def annotate(self, image: int, mask: np.ndarray) -> None:
        """An object that nobody refers to."""
        self.objects.append(self._mask_row(image, mask) | {"ann_id": len(self.objects)})

    def _mask_row(self, image: int, mask: np.ndarray) -> dict[str, Any]:
        box = dict(zip(("box_x", "box_y", "box_w", "box_h"), box_of(mask), strict=True))
        height, width = mask.shape
        row = {"dataset": DATASET, "image_id": image, "category": "thing", "rle": rle_encode(mask)}
        return row | {"height": height, "width": width} | box

    def ground_truth(
        self, *, splits: Sequence[str] = (SPLIT,), objects: bool = True
    ) -> GroundTruth:
        """The tables as an evaluation reads them."""
        return GroundTruth(
            expressions=pa.Table.from_pylist(self.expressions),
            truth=pa.Table.from_pylist(self.truth),
            objects=pa.Table.from_pylist(self.objects) if objects else None,
            splits=splits,
            text="sentence",
        )


def predict(
    image: int,
    rows: Sequence[tuple[int, int, np.ndarray]],
    peaks: Sequence[tuple[int, int]] | None = None,
    *,
    split: str = SPLIT,
    said_none: Sequence[bool] | None = None,
) -> ImagePredictions:
    """Predictions of one image; rows are (ref_id, sent_id, mask)."""
    return ImagePredictions(
        image=(DATASET, split, image),
        ref_ids=np.array([row[0] for row in rows], dtype=np.int64),
        sent_ids=np.array([row[1] for row in rows], dtype=np.int64),
        masks=np.stack([row[2] for row in rows]),
        peaks=None if peaks is None else np.array(peaks, dtype=np.int64),
        said_none=None if said_none is None else np.array(said_none),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def make_world() -> Callable[..., World]:
    return World


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    return rectangle


@pytest.fixture
def say() -> Callable[..., ImagePredictions]:
    return predict


@pytest.fixture
def world() -> World:
    """Two images of val with three referents, five sentences; one image of train."""
    world = World(SIZE)
    world.refer(1, 0, rectangle(SIZE, 0, 0, 10, 10), ["left one", "the red one"])
    world.refer(1, 1, rectangle(SIZE, 10, 10, 2, 2), ["one below the red one"])
    world.refer(2, 2, rectangle(SIZE, 5, 5, 10, 10), ["the one in the middle", "big one"])
    world.refer(3, 3, rectangle(SIZE, 5, 5, 10, 10), ["a thing"], split="train")
    return world


@pytest.fixture
def predictions() -> list[ImagePredictions]:
    """IoU of 1, 1/2, 0 in image 1; 1/4 and 1 in image 2."""
    return [
        predict(
            1,
            [
                (0, 0, rectangle(SIZE, 0, 0, 10, 10)),
                (0, 1, rectangle(SIZE, 0, 0, 10, 5)),
                (1, 10, rectangle(SIZE, 0, 0, 2, 2)),
            ],
            [(0, 0), (5, 0), (1, 1)],
        ),
        predict(
            2,
            [(2, 20, rectangle(SIZE, 5, 5, 5, 5)), (2, 21, rectangle(SIZE, 5, 5, 10, 10))],
            [(5, 5), (19, 19)],
        ),
    ]
