"""gRefCOCO's files become tables: no, one or several targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.datasets import DatasetTables, read_grefs
from pipeline.safety import InputError
from pipeline.store import rle_decode

from .conftest import annotation, options
from .published import PLACES, SIDE, Grefs, draw_grefs, gref


@pytest.fixture
def grefs(tmp_path: Path) -> Grefs:
    return draw_grefs(tmp_path / "grefs", {"train": 1, "val": 1})


def read(grefs: Grefs, **how: Any) -> DatasetTables:
    return read_grefs(grefs.write(**how), dataset="toy", options=options())


def box_mask(*names: str) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for x1, y1, x2, y2 in (PLACES[name] for name in names):
        mask[y1:y2, x1:x2] = True
    return mask


def masks(tables: DatasetTables) -> dict[int, np.ndarray]:
    return {item.ref_id: rle_decode(item.rle, item.height, item.width) for item in tables.truth}


def test_one_several_and_no_targets(grefs: Grefs) -> None:
    found = masks(read(grefs))
    assert np.array_equal(found[200], box_mask("left"))
    assert np.array_equal(found[201], box_mask("left", "right"))
    assert not found[202].any()
    truth = {item.ref_id: item for item in read(grefs).truth}
    assert [truth[ref].category for ref in (200, 201, 202)] == ["person", "bus+person", ""]
    assert truth[202].box == (0, 0, 0, 0) and truth[202].area == 0
    assert truth[201].area == box_mask("left", "right").sum()


def test_no_target_lies_apart_from_the_training_split_only(grefs: Grefs) -> None:
    found = read(grefs)
    splits = {(row.ref_id, row.split) for row in found.expressions}
    assert splits == {
        *((100, "train"), (101, "train"), (102, "train_no_target")),
        *((200, "val"), (201, "val"), (202, "val")),
    }
    assert {(row.ref_id, row.split) for row in found.truth} == splits
    assert {(row.image_id, row.split) for row in found.images} == {
        *((1, "train"), (1, "train_no_target"), (2, "val")),
    }


@pytest.mark.parametrize("pickled", [True, False])
def test_json_and_pickle_say_the_same(grefs: Grefs, tmp_path: Path, pickled: bool) -> None:
    other = Grefs(tmp_path / "other", grefs.refs, grefs.instances)
    assert read(other, pickled=pickled) == read(grefs)


def test_a_target_may_be_a_number_or_a_list_with_repeats(grefs: Grefs) -> None:
    before = masks(read(grefs))[200]
    grefs.refs[3]["ann_id"] = 20
    assert np.array_equal(masks(read(grefs))[200], before)
    grefs.refs[3]["ann_id"] = ["20", 20]
    assert np.array_equal(masks(read(grefs))[200], before)
    grefs.refs[3]["ann_id"] = -1
    assert not masks(read(grefs))[200].any()


def test_crowds_are_passed_over_beside_other_targets_and_kept_alone(grefs: Grefs) -> None:
    crowd = {"size": [SIDE, SIDE], "counts": [0, SIDE * SIDE]}
    grefs.instances["annotations"].append(annotation(99, 2, crowd, iscrowd=1))
    grefs.refs[3]["ann_id"] = [20, 99]
    grefs.refs[4]["ann_id"] = [99]
    found = masks(read(grefs))
    assert np.array_equal(found[200], box_mask("left"))
    assert found[201].all()


def test_repeated_numbers_are_replaced_by_free_ones(grefs: Grefs) -> None:
    grefs.refs.append(gref(100, 2, "val", [20], "it again", first=100))
    found = read(grefs)
    added = next(row for row in found.expressions if row.raw == "IT AGAIN")
    assert (added.ref_id, added.sent_id) == (203, 221)
    assert len({row.sent_id for row in found.expressions}) == len(found.expressions) == 7
    assert {row.ref_id for row in found.truth} == {100, 101, 102, 200, 201, 202, 203}


def change(index: int, key: str, value: Any) -> Callable[[Grefs], None]:
    def apply(grefs: Grefs) -> None:
        grefs.refs[index][key] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(0, "ann_id", []), "record 0: 'ann_id' is empty"),
        (change(0, "ann_id", [-1, 10]), "record 0: 'ann_id' has -1 .* beside"),
        (change(0, "ann_id", [77]), "record 0: 'ann_id' 77 is no annotation"),
        (change(0, "ann_id", [[10]]), "record 0: 'ann_id' must be an integer"),
        (change(1, "ann_id", [10, 20]), "record 1: 'image_id' is 1, its annotation 20 is of 2"),
        (change(2, "image_id", 9), "record 2: 'image_id' 9 is no image"),
        (change(0, "sentences", []), "record 0: 'sentences' is empty"),
    ],
)
def test_what_is_wrong_is_named(grefs: Grefs, spoil: Callable[[Grefs], None], message: str) -> None:
    spoil(grefs)
    with pytest.raises(InputError, match=rf"grefs\(unc\)\.json: {message}"):
        read(grefs)


def test_a_partition_that_is_not_there_is_named(grefs: Grefs) -> None:
    folder = grefs.write()
    with pytest.raises(InputError, match=r"grefs\(umd\)\.json: no such file; .*grefs\(unc\)\.json"):
        read_grefs(folder, dataset="toy", options=options("umd"))
