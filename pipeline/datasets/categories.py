"""Seen and unseen objects: COCO's open-vocabulary lists of 48 and 17 categories.

Used for referring segmentation by CGFormer (Tang et al., CVPR 2023), which counts referents. The
other 15 of COCO's 80 categories belong to neither list, and their referents are left out.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.datasets.tables import DatasetTables
from pipeline.safety import InputError

_SEEN = """
person, bicycle, car, motorcycle, train, truck, boat, bench, bird, horse, sheep, bear,
zebra, giraffe, backpack, handbag, suitcase, frisbee, skis, kite, surfboard, bottle, fork,
spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, pizza, donut, chair, bed,
toilet, tv, laptop, mouse, remote, microwave, oven, toaster, refrigerator, book, clock,
vase, toothbrush
"""
_UNSEEN = """
airplane, bus, cat, dog, cow, elephant, umbrella, tie, snowboard, skateboard, cup, knife,
cake, couch, keyboard, sink, scissors
"""
SEEN = frozenset(name.strip() for name in _SEEN.split(","))
UNSEEN = frozenset(name.strip() for name in _UNSEEN.split(","))
MERGED: dict[str, str] = {"testA": "test", "testB": "test"}
"""RefCOCO's two test splits are one here."""


def split_by_category(tables: DatasetTables, *, train: str) -> DatasetTables:
    """The referents as ``<split>_seen`` and ``<split>_unseen``; of ``train`` only the seen.

    Objects stay as they are: what else an image shows is the same for both. A referent with
    several targets belongs to a list if all of them do.

    InputError if no referent has a category of the lists: the dataset names others.
    """
    splits: dict[tuple[str, int], str] = {}
    for row in tables.truth:
        names = set(row.category.split("+"))
        kind = "seen" if names <= SEEN else "unseen" if names <= UNSEEN else None
        if kind is None or (row.split == train and kind == "unseen"):
            continue
        splits[row.split, row.ref_id] = f"{MERGED.get(row.split, row.split)}_{kind}"
    if not splits:
        raise InputError(
            "dataset.categories: no object of this dataset has a category of COCO's lists of seen "
            "and unseen ones; set dataset.categories: all"
        )
    found = [
        replace(row, split=splits[row.split, row.ref_id])
        for row in tables.truth
        if (row.split, row.ref_id) in splits
    ]
    records = {(row.split, row.image_id): row for row in tables.images}
    images = {
        (row.image_id, splits[row.split, row.ref_id]): records[row.split, row.image_id]
        for row in tables.truth
        if (row.split, row.ref_id) in splits
    }
    return DatasetTables(
        expressions=[
            replace(row, split=splits[row.split, row.ref_id])
            for row in tables.expressions
            if (row.split, row.ref_id) in splits
        ],
        images=[replace(row, split=split) for (_, split), row in sorted(images.items())],
        truth=found,
        objects=tables.objects,
    )
