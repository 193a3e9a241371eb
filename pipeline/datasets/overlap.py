"""Images that two splits or two datasets share, told by the name of the picture's file.

COCO's pictures are called alike in every dataset that is made of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePosixPath

from pipeline.datasets.tables import DatasetTables, no_target_split
from pipeline.records import ImageRecord


@dataclass(frozen=True, slots=True)
class Overlap:
    """``shared`` images of the ``images`` that each of two sets has."""

    first: str
    second: str
    shared: int
    images: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"{self.first} ({self.images[0]:,} images) and {self.second} ({self.images[1]:,}) "
            f"share {self.shared:,}"
        )


def picture_name(file: str) -> str:
    """The last part of a picture's path, which tells it from others."""
    return PurePosixPath(file).name


def pictures_by_split(images: Iterable[ImageRecord]) -> dict[str, set[str]]:
    """The names of the pictures of each split; those without a target lie with their split."""
    found: dict[str, set[str]] = {}
    for record in images:
        split = record.split.removesuffix(no_target_split(""))
        found.setdefault(split, set()).add(picture_name(record.file))
    return found


def overlaps_of(sets: Mapping[str, Collection[str]]) -> list[Overlap]:
    """Every pair of named sets of pictures that shares any, in order."""
    found = []
    for first, second in combinations(sets, 2):
        shared = len(set(sets[first]) & set(sets[second]))
        if shared:
            found.append(Overlap(first, second, shared, (len(sets[first]), len(sets[second]))))
    return found


def without_pictures(
    tables: DatasetTables, names: Collection[str], *, splits: Collection[str]
) -> DatasetTables:
    """The tables without what ``splits`` say about pictures of these names."""
    barred = {
        (row.split, row.image_id)
        for row in tables.images
        if row.split in splits and picture_name(row.file) in names
    }
    images = [row for row in tables.images if (row.split, row.image_id) not in barred]
    left = {row.image_id for row in images}
    return DatasetTables(
        expressions=[r for r in tables.expressions if (r.split, r.image_id) not in barred],
        images=images,
        truth=[row for row in tables.truth if (row.split, row.image_id) not in barred],
        objects=[row for row in tables.objects if row.image_id in left],
    )
