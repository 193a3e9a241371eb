"""A part of a dataset: some splits, some images of each, whole with all their sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from pipeline.datasets.tables import DatasetTables


def sampled(image_ids: Iterable[int], count: int | None) -> set[int]:
    """``count`` of the images (None: all), the same whatever their order and the other splits.

    They are those whose ids have the smallest digests, so that a larger sample holds a smaller one.
    """
    ids = set(image_ids)
    if count is None or count >= len(ids):
        return ids
    return set(sorted(ids, key=_digest)[:count])


def _digest(image_id: int) -> bytes:
    return hashlib.sha256(str(image_id).encode()).digest()


def restricted(
    tables: DatasetTables, *, splits: Collection[str], sample: Mapping[str, int]
) -> DatasetTables:
    """The rows of ``splits``, with at most as many images of a split as ``sample`` names for it."""
    kept: set[tuple[str, int]] = set()
    for split in splits:
        ids = {record.image_id for record in tables.images if record.split == split}
        kept |= {(split, image_id) for image_id in sampled(ids, sample.get(split))}
    pictured = {image_id for _, image_id in kept}
    return DatasetTables(
        expressions=[row for row in tables.expressions if (row.split, row.image_id) in kept],
        images=[row for row in tables.images if (row.split, row.image_id) in kept],
        truth=[row for row in tables.truth if (row.split, row.image_id) in kept],
        objects=[row for row in tables.objects if row.image_id in pictured],
    )


def without_small_boxes(
    tables: DatasetTables, *, share: float, splits: Collection[str]
) -> DatasetTables:
    """The tables without the referents of ``splits`` whose box is at most ``share`` of its image.

    Expressions without a target have no box, and stay. Of a share of 0 nothing is left out.
    """
    small = {
        (row.split, row.ref_id)
        for row in tables.truth
        if share
        and row.split in splits
        and row.area
        and row.box[2] * row.box[3] <= share * row.height * row.width
    }
    expressions = [row for row in tables.expressions if (row.split, row.ref_id) not in small]
    used = {(row.split, row.image_id) for row in expressions}
    pictured = {image_id for _, image_id in used}
    return DatasetTables(
        expressions=expressions,
        images=[row for row in tables.images if (row.split, row.image_id) in used],
        truth=[row for row in tables.truth if (row.split, row.ref_id) not in small],
        objects=[row for row in tables.objects if row.image_id in pictured],
    )
