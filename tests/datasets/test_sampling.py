"""A sample is of images, whole, and the same whatever else is read."""

from __future__ import annotations

from pipeline.datasets import restricted, sampled
from pipeline.datasets.tables import DatasetTables, Sentence
from pipeline.records import ImageRecord

IDS = list(range(100, 160))


def tables(images: dict[str, list[int]]) -> DatasetTables:
    """Two sentences an image; an image may be of several splits."""
    pairs = [(split, image_id) for split, ids in images.items() for image_id in ids]
    return DatasetTables(
        expressions=[
            Sentence("toy", split, image_id, image_id, 2 * number + k, "Raw", "raw")
            for number, (split, image_id) in enumerate(pairs)
            for k in range(2)
        ],
        images=[ImageRecord("toy", i, f"{i}.jpg", 4, 4, split) for split, i in pairs],
        truth=[],
        objects=[],
    )


def test_a_larger_sample_holds_a_smaller_whatever_the_order() -> None:
    small, large = sampled(IDS, 10), sampled(IDS[::-1], 30)
    assert len(small) == 10 and len(large) == 30 and small < large < set(IDS)
    assert sampled(IDS, None) == sampled(IDS, 60) == sampled(IDS, 10**6) == set(IDS)
    assert small != set(IDS[:10])


def test_only_the_asked_splits_stay_and_images_stay_whole() -> None:
    found = restricted(
        tables({"train": IDS[:40], "val": IDS[40:], "test": [1, 2]}),
        splits=["train", "val"],
        sample={"train": 5},
    )
    kept = [record.image_id for record in found.images if record.split == "train"]
    assert set(kept) == sampled(IDS[:40], 5)
    assert sum(record.split == "val" for record in found.images) == 20
    assert {row.split for row in found.expressions} == {"train", "val"}
    assert len(found.expressions) == 2 * len(found.images)


def test_an_image_of_two_splits_is_sampled_for_each() -> None:
    found = restricted(
        tables({"train": IDS, "val": IDS}), splits=["train", "val"], sample={"val": 3}
    )
    assert sum(record.split == "train" for record in found.images) == len(IDS)
    assert sum(record.split == "val" for record in found.images) == 3
