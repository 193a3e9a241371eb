"""TRIS's files of ReferIt become tables."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets import DatasetTables, read_referit, without_small_boxes
from pipeline.safety import InputError

from .conftest import options
from .published import ReferIt, draw_referit


@pytest.fixture
def referit(tmp_path: Path) -> ReferIt:
    return draw_referit(tmp_path / "referit", {"train": 2, "test": 1})


def read(referit: ReferIt, **how: Any) -> DatasetTables:
    return read_referit(referit.write(**how), dataset="toy", options=options())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read(referit: ReferIt, tmp_path: Path, protocol: int) -> None:
    """Those below 4 name the global ``set``."""
    other = ReferIt(tmp_path / "other", referit.splits)
    assert read(other, protocol=protocol) == read(referit)


def test_the_file_decides_the_split_and_words_the_number(referit: ReferIt) -> None:
    found = read(referit)
    assert [(s.split, s.image_id, s.ref_id, s.sent_id, s.raw) for s in found.expressions] == [
        ("train", 1, 10, 0, "box on the left"),
        ("train", 1, 10, 1, "left box"),
        ("train", 1, 11, 2, "right one"),
        ("train", 2, 20, 3, "box on the left"),
        ("train", 2, 20, 4, "left box"),
        ("train", 2, 21, 5, "right one"),
        ("test", 3, 30, 6, "box on the left"),
        ("test", 3, 30, 7, "left box"),
        ("test", 3, 31, 8, "right one"),
    ]
    assert all(s.raw == s.sentence for s in found.expressions)


def test_the_order_of_the_queries_means_nothing(referit: ReferIt) -> None:
    before = read(referit)
    for content in referit.splits.values():
        for image in content.values():
            image["annotations"].reverse()
    after = read(referit)
    assert after.expressions == before.expressions
    assert sorted(after.truth, key=repr) == sorted(before.truth, key=repr)


def test_a_referent_has_one_mask_and_a_box_of_width_and_height(referit: ReferIt) -> None:
    found = read(referit)
    assert [item.ref_id for item in found.truth] == [10, 11, 20, 21, 30, 31]
    assert found.truth[0].box == (6, 20, 20, 24) and found.truth[0].area == 20 * 24
    assert found.truth[0].category == "94"
    assert [item.ann_id for item in found.objects] == [10, 11, 20, 21, 30, 31]
    assert [(image.file, image.split) for image in found.images] == [
        *(("1.jpg", "train"), ("2.jpg", "train"), ("3.jpg", "test")),
    ]


def test_an_empty_query_is_passed_over(referit: ReferIt) -> None:
    referit.splits["test"]["3"]["annotations"][2]["query"] = " "
    assert [item.ref_id for item in read(referit).truth] == [10, 11, 20, 21, 30]


def test_small_boxes_are_left_out_of_what_is_evaluated(referit: ReferIt) -> None:
    """TRIS measures boxes of more than 5 % of the image."""
    small = referit.splits["test"]["3"]["annotations"][2]
    small["bbox"] = [[0, 0, 16, 12]]  # 192 of 4096 pixels
    for split in ("train", "test"):
        kept = without_small_boxes(read(referit), share=0.05, splits=[split])
        left = {"train": [10, 11, 20, 21, 30, 31], "test": [10, 11, 20, 21, 30]}[split]
        assert [item.ref_id for item in kept.truth] == left
    assert without_small_boxes(read(referit), share=0, splits=["test"]) == read(referit)
    small["bbox"] = [[0, 0, 32, 8]]  # 256 of 4096: above
    assert len(without_small_boxes(read(referit), share=0.05, splits=["test"]).truth) == 6
    exact = without_small_boxes(read(referit), share=256 / 4096, splits=["test"])
    assert [item.ref_id for item in exact.truth][-1] == 30


def spoiled(key: str, value: Any) -> Callable[[ReferIt], None]:
    def apply(referit: ReferIt) -> None:
        referit.splits["train"]["1"]["annotations"][1][key] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoiled("bbox", [1, 2, 3, 4]), "record 1: 'bbox' must be a list of one box"),
        (spoiled("bbox", [[1, 2, 3]]), "record 1: 'bbox' must be a list of 4"),
        (spoiled("bbox", [[5, 2, 3, 4]]), "record 1: 'bbox' has a negative"),
        (spoiled("query", 3), "record 1: 'query': must be text"),
        (spoiled("category", "sky"), "record 1: 'category' must be a set"),
        (spoiled("ref_id", "x"), "record 1: 'ref_id' must be an integer"),
        (spoiled("segmentation", []), "record 1: 'segmentation' must be polygons"),
    ],
)
def test_what_is_wrong_is_named(
    referit: ReferIt, spoil: Callable[[ReferIt], None], message: str
) -> None:
    spoil(referit)
    with pytest.raises(InputError, match=rf"train\.pickle: image '1': 'annotations': {message}"):
        read(referit)


def test_a_referent_of_two_masks_or_splits_is_named(referit: ReferIt) -> None:
    other = referit.splits["train"]["1"]["annotations"]
    other[0] = other[0] | {"segmentation": other[2]["segmentation"]}
    with pytest.raises(InputError, match=r"train\.pickle: ref_id 10 has two"):
        read(referit)


def test_files_that_are_none_are_named(referit: ReferIt, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"annotations: has no train\.pickle or test\.pickle"):
        read_referit(tmp_path / "nowhere", dataset="toy", options=options())
    referit.splits["train"] = [1]
    with pytest.raises(InputError, match=r"train\.pickle: must be a mapping of images, not list"):
        read(referit)
    referit.splits["train"] = {"1": {"size": (0, 3), "annotations": []}}
    with pytest.raises(InputError, match=r"image '1': 'size' must be a height and a width"):
        read(referit)
    referit.splits["train"] = {"one": {"size": (1, 3), "annotations": []}}
    with pytest.raises(InputError, match=r"image 'one': 'image_id' must be an integer"):
        read(referit)
