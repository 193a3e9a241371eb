"""The ground truth: which text it takes, and the tables that it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation import GroundTruth, truth
from pipeline.safety import InputError
from pipeline.store import rle_decode, rle_encode

Make = Callable[..., object]


def test_text_is_the_named_column(world: object) -> None:
    tables = [pa.Table.from_pylist(rows) for rows in (world.expressions, world.truth)]
    for name, text in (("raw", "LEFT ONE"), ("sentence", "left one")):
        found = GroundTruth(
            expressions=tables[0], truth=tables[1], objects=None, splits=["val"], text=name
        )
        assert found.image(("toy", "val", 1)).expressions[0, 0] == text


def test_wrong_tables_are_refused(world: object) -> None:
    with pytest.raises(InputError, match="there are none of test"):
        world.ground_truth(splits=("test",))
    world.truth.append(dict(world.truth[0]))
    with pytest.raises(InputError, match="ref_id 0 is there twice"):
        world.ground_truth()
    del world.truth[0], world.truth[-1]
    with pytest.raises(InputError, match="no mask of toy val image 1 ref_id 0"):
        world.ground_truth()


def test_unknown_images_and_objects_of_another_size(world: object, draw: Make) -> None:
    with pytest.raises(InputError, match="toy val has no image 99"):
        world.ground_truth().image(("toy", "val", 99))
    world.objects.clear()
    world.annotate(1, draw((10, 10), 0, 0, 2, 2))
    with pytest.raises(InputError, match="objects: masks of toy image 1"):
        world.ground_truth().image(("toy", "val", 1))


def test_equal_masks_are_decoded_once(draw: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = [draw((6, 4), x, 0, 2, 3) for x in (0, 1, 0, 0)]
    table = pa.table(
        {"rle": [rle_encode(mask) for mask in masks], "height": [6] * 4, "width": [4] * 4}
    )
    calls: list[bytes] = []

    def counted(counts: bytes, height: int, width: int) -> np.ndarray:
        calls.append(counts)
        return rle_decode(counts, height, width)

    monkeypatch.setattr(truth, "rle_decode", counted)
    assert np.array_equal(truth.decode(table, [3, 1, 0]), np.stack([masks[i] for i in (3, 1, 0)]))
    assert len(calls) == 2
