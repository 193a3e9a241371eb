"""Published counts, seen and unseen categories, images that datasets share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from pipeline.datasets import (
    DatasetTables,
    Sentence,
    check_category_counts,
    check_counts,
    overlaps_of,
    pictures_by_split,
    split_by_category,
    with_pictures,
    without_pictures,
)
from pipeline.datasets.categories import SEEN, UNSEEN
from pipeline.datasets.counts import ALL, PUBLISHED, SEEN_AND_UNSEEN
from pipeline.records import ImageRecord, ObjectRecord, Truth
from pipeline.safety import InputError
from pipeline.store import rle_encode

MASK = rle_encode(np.zeros((1, 1), dtype=np.bool_))
BOX = (0.0, 0.0, 0.0, 0.0)


def referent(number: int, split: str, category: str, image_id: int) -> Truth:
    return Truth("toy", split, image_id, number, category, MASK, 1, 1, BOX, 0)


def tables(rows: list[Truth], sentences: int = 1) -> DatasetTables:
    """Tables with so many sentences a referent."""
    used = sorted({(row.image_id, row.split) for row in rows})
    return DatasetTables(
        expressions=[
            Sentence(
                "toy", row.split, row.image_id, row.ref_id, sentences * row.ref_id + k, "a", "a"
            )
            for row in rows
            for k in range(sentences)
        ],
        images=[ImageRecord("toy", image, f"{image}.jpg", 1, 1, split) for image, split in used],
        truth=rows,
        objects=[
            ObjectRecord("toy", image, image, "cup", MASK, 1, 1, BOX)
            for image in sorted({image for image, _ in used})
        ],
    )


def of_published_size(name: str, split_by: str) -> DatasetTables:
    """Rows in the published numbers; images of a split are its own."""
    rows: list[Truth] = []
    expressions: list[Sentence] = []
    first_image = 0
    for split, counts in PUBLISHED[name, split_by].items():
        if split == ALL:
            continue
        of_split = [
            referent(len(rows) + k, split, "person", first_image + k % counts["images"])
            for k in range(counts["referents"])
        ]
        for k in range(counts.get("expressions", counts["referents"])):
            row = of_split[k % len(of_split)]
            key = (split, row.image_id, row.ref_id, len(expressions) + k)
            expressions.append(Sentence("toy", *key, "a", "a"))
        rows += of_split
        first_image += counts["images"]
    return replace(tables(rows), expressions=expressions)


@pytest.mark.parametrize(("name", "split_by"), PUBLISHED)
def test_parts_add_up_to_the_whole(name: str, split_by: str) -> None:
    """Where splits share no image, as they do not but in the google partitions."""
    counts = PUBLISHED[name, split_by]
    if ALL in counts and len(counts) > 1:
        for what, number in counts[ALL].items():
            assert number == sum(c[what] for split, c in counts.items() if split != ALL)


@pytest.mark.parametrize(("name", "split_by"), PUBLISHED)
def test_every_published_figure_is_held_against_what_was_read(name: str, split_by: str) -> None:
    with pytest.raises(InputError) as caught:
        check_counts(tables([referent(0, "elsewhere", "cup", 1)]), name=name, split_by=split_by)
    for split, counts in PUBLISHED[name, split_by].items():
        found = 1 if split == ALL else 0
        for what, number in counts.items():
            assert f"{split} has {found} {what}, published are {number:,}" in str(caught.value)


def test_every_figure_that_differs_is_named() -> None:
    found = of_published_size("refcocog", "umd")
    check_counts(found, name="refcocog", split_by="umd")
    lost = found.truth[-1]
    cut = replace(
        found,
        truth=found.truth[:-1],
        expressions=[row for row in found.expressions if row.ref_id != lost.ref_id],
    )
    for name in ("refcocog", "refcocog_umd", "RefCOCOg"):
        with pytest.raises(InputError) as caught:
            check_counts(cut, name=name, split_by="umd")
        message = str(caught.value)
        assert "test has 5,022 referents, published are 5,023" in message
        assert "all splits has 49,821 referents, published are 49,822" in message
        assert "expressions, published are 95,010" in message and "train has" not in message
        assert "another name" in message
    check_counts(cut, name="mine", split_by="umd")
    check_counts(cut, name="refcocog", split_by="mine")


def test_the_lists_are_those_of_48_and_17() -> None:
    assert len(SEEN) == 48 and len(UNSEEN) == 17 and not SEEN & UNSEEN
    names = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    coco = set(names) - {"N/A", "__background__"}
    assert len(coco) == 80 and coco >= SEEN | UNSEEN
    assert coco - SEEN - UNSEEN == {
        *("traffic light", "fire hydrant", "stop sign", "parking meter", "sports ball"),
        *("baseball bat", "baseball glove", "tennis racket", "wine glass", "hot dog"),
        *("potted plant", "dining table", "cell phone", "teddy bear", "hair drier"),
    }
    assert {
        *("airplane", "bus", "cat", "dog", "cow", "elephant", "umbrella", "tie", "snowboard"),
        *("skateboard", "cup", "knife", "cake", "couch", "keyboard", "sink", "scissors"),
    } == UNSEEN


def test_referents_go_by_their_category() -> None:
    rows = [
        referent(0, "train", "person", 1),
        referent(1, "train", "dog", 1),
        referent(2, "train", "stop sign", 2),
        referent(3, "val", "dog", 3),
        referent(4, "val", "person", 3),
        referent(5, "testA", "person", 4),
        referent(6, "testB", "bus", 5),
        referent(7, "val", "hot dog", 6),
        referent(8, "val", "bus+dog", 7),
        referent(9, "val", "bus+person", 8),
        referent(10, "val", "", 9),
    ]
    found = split_by_category(tables(rows, sentences=2), train="train")
    expected = {
        **{0: "train_seen", 3: "val_unseen", 4: "val_seen", 5: "test_seen", 6: "test_unseen"},
        8: "val_unseen",
    }
    assert {row.ref_id: row.split for row in found.truth} == expected
    assert {(row.ref_id, row.split) for row in found.expressions} == set(expected.items())
    assert len(found.expressions) == 12
    assert {(row.image_id, row.split) for row in found.images} == {
        *((1, "train_seen"), (3, "val_seen"), (3, "val_unseen")),
        *((4, "test_seen"), (5, "test_unseen"), (7, "val_unseen")),
    }
    with pytest.raises(InputError, match=r"dataset\.categories"):
        split_by_category(tables([referent(0, "train", "star", 1)]), train="train")


# Referents of the 15 categories in neither list: their shares of val and test are alike.
LEFT_OVER = {
    ("refcoco", "unc"): {"val": 191, "test": 191},
    ("refcoco+", "unc"): {"val": 190, "test": 190},
    ("refcocog", "umd"): {"val": 187, "test": 329},
    ("refcocog", "google"): {"val": 317},
}


@pytest.mark.parametrize(("name", "split_by"), SEEN_AND_UNSEEN)
def test_seen_and_unseen_leave_referents_of_neither(name: str, split_by: str) -> None:
    known, published = SEEN_AND_UNSEEN[name, split_by], PUBLISHED[name, split_by]
    for split, left in LEFT_OVER[name, split_by].items():
        parts = [part for part in published if part.rstrip("AB") == split and part != ALL]
        total = sum(published[part]["referents"] for part in parts)
        assert known[f"{split}_seen"] + known[f"{split}_unseen"] == total - left
    assert known["train_seen"] < published["train"]["referents"]


def test_seen_and_unseen_referents_count_as_published() -> None:
    """Referents by category such that the rule gives CGFormer's counts; one less is told."""
    known = SEEN_AND_UNSEEN["refcoco", "unc"]
    rows: list[Truth] = []
    for split, category, count in (
        ("train", "person", known["train_seen"]),
        ("train", "dog", 100),  # not to be learned from
        ("val", "cup", known["val_unseen"]),
        ("val", "clock", known["val_seen"]),
        ("testA", "person", 1_975),
        ("testB", "zebra", known["test_seen"] - 1_975),
        ("testB", "cat", known["test_unseen"]),
        ("testB", "stop sign", 191),
    ):
        first = len(rows)
        rows += [referent(first + k, split, category, first + k) for k in range(count)]
    found = split_by_category(tables(rows), train="train")
    check_category_counts(found, name="refcoco", split_by="unc")
    less = replace(found, truth=[row for row in found.truth if row.ref_id != rows[-200].ref_id])
    with pytest.raises(InputError, match="test_unseen has 393 referents, published are 394"):
        check_category_counts(less, name="refcoco", split_by="unc")


def test_shared_pictures_are_counted_by_name() -> None:
    first = [
        ImageRecord("a", 1, "COCO_1.jpg", 1, 1, "train"),
        ImageRecord("a", 2, "COCO_2.jpg", 1, 1, "train"),
        ImageRecord("a", 2, "COCO_2.jpg", 1, 1, "val"),
    ]
    second = [ImageRecord("b", 9, "train2014/COCO_1.jpg", 1, 1, "test")]
    sets = {f"a {k}": v for k, v in pictures_by_split(first).items()}
    sets |= {f"b {k}": v for k, v in pictures_by_split(second).items()}
    assert [str(overlap) for overlap in overlaps_of(sets)] == [
        "a train (2 images) and a val (1) share 1",
        "a train (2 images) and b test (1) share 1",
    ]


def test_pictures_of_another_dataset_are_left_out_of_one_split() -> None:
    rows = [
        referent(0, "train", "cup", 1),
        referent(1, "train", "cup", 2),
        referent(2, "val", "cup", 2),
    ]
    found = without_pictures(tables(rows), {"2.jpg", "7.jpg"}, splits=["train"])
    assert [row.ref_id for row in found.truth] == [0, 2] == [r.ref_id for r in found.expressions]
    assert [(row.image_id, row.split) for row in found.images] == [(1, "train"), (2, "val")]
    assert len(found.objects) == 2
    nothing = without_pictures(tables(rows), {"1.jpg"}, splits=["train"])
    assert [row.image_id for row in nothing.objects] == [2]


def test_pictures_are_found_wherever_they_lie(tmp_path: Path) -> None:
    rows = [referent(number, "train", "cup", number) for number in (1, 2, 19579)]
    (tmp_path / "00" / "images").mkdir(parents=True)
    (tmp_path / "1.jpg").touch()
    (tmp_path / "00" / "images" / "2.png").touch()
    found = with_pictures(tables(rows), tmp_path)
    assert [row.file for row in found.images] == ["1.jpg", "00/images/2.png"]
    assert [row.ref_id for row in found.expressions] == [1, 2]  # 19579.jpg is in no copy
    assert [row.image_id for row in found.objects] == [1, 2]
    (tmp_path / "2.gif").touch()
    with pytest.raises(InputError, match=r"2\.jpg: no such picture, and 2 others of that name"):
        with_pictures(tables(rows), tmp_path)
    (tmp_path / "00" / "images" / "2.png").unlink()
    (tmp_path / "2.gif").unlink()
    with pytest.raises(InputError, match=r"2\.jpg: no such picture \(1 of 3 are missing\)"):
        with_pictures(tables(rows), tmp_path)
