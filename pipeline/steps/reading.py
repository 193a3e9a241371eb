"""A configured dataset as tables: read, checked against what is published, cut to what is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.config import Dataset, OtherDataset
from pipeline.datasets import (
    READERS,
    SOURCES,
    DatasetTables,
    ReadOptions,
    check_category_counts,
    check_counts,
    no_target_split,
    overlaps_of,
    pictures_by_split,
    restricted,
    split_by_category,
    without_pictures,
    without_small_boxes,
)
from pipeline.safety import InputError


def read_dataset(dataset: Dataset) -> DatasetTables:
    """The configured splits; every one must be there. The pictures are not looked for yet.

    InputError names what is wrong with the files, or which published figure they do not have. The
    images that splits share are told on the standard output.
    """
    tables = READERS[dataset.reader](
        dataset.folder, dataset=dataset.name, options=options_of(dataset)
    )
    published = {"name": dataset.name, "split_by": dataset.split_by}
    if dataset.source != "miniature":
        check_counts(tables, **published)
    for overlap in overlaps_of(pictures_by_split(tables.images)):
        print(f"shared images: {overlap}")
    if dataset.categories == "seen_and_unseen":
        tables = split_by_category(tables, train=_published_split(dataset.train))
        check_category_counts(tables, **published)
    for other in dataset.exclude_images_of:
        tables = _without_images_of(other, tables, dataset)
    tables = without_small_boxes(tables, share=dataset.minimum_box_share, splits=dataset.evaluate)
    found = {expression.split for expression in tables.expressions}
    missing = [split for split in dataset.splits if split not in found]
    if missing:
        raise InputError(
            f"dataset.train, dataset.evaluate: {dataset.folder} has no split {missing[0]!r}; "
            f"it has {', '.join(sorted(found))}"
        )
    kept = [*dataset.splits, no_target_split(dataset.train)]
    return restricted(tables, splits=kept, sample=dataset.sample)


def sources_of(dataset: Dataset) -> dict[str, Path]:
    """By name, the files that :func:`read_dataset` reads."""
    found = SOURCES[dataset.reader](dataset.folder, options=options_of(dataset))
    for other in dataset.exclude_images_of:
        options = options_of(dataset, split_by=other.split_by)
        paths = SOURCES[other.reader](other.folder, options=options)
        found |= {f"{other.folder}/{name}": path for name, path in paths.items()}
    return found


def options_of(dataset: Dataset, *, split_by: str | None = None) -> ReadOptions:
    """``split_by`` is another dataset's own."""
    return ReadOptions(
        split_by=dataset.split_by if split_by is None else split_by,
        overlapping_polygons=dataset.overlapping_polygons,
        train=_published_split(dataset.train),
        held_out_split=dataset.headline,
        held_out=dataset.held_out,
    )


def _published_split(split: str) -> str:
    """The split that ``train_seen`` is a part of."""
    return split.removesuffix("_seen")


def _without_images_of(
    other: OtherDataset, tables: DatasetTables, dataset: Dataset
) -> DatasetTables:
    """The training split without the images of another dataset's splits; how many is told."""
    options = options_of(dataset, split_by=other.split_by)
    found = READERS[other.reader](other.folder, dataset=dataset.name, options=options)
    pictures: Mapping[str, set[str]] = pictures_by_split(found.images)
    if unknown := [split for split in other.splits if split not in pictures]:
        raise InputError(
            f"dataset.exclude_images_of: {other.folder} has no split {unknown[0]!r}; "
            f"it has {', '.join(sorted(pictures))}"
        )
    barred = set().union(*(pictures[split] for split in other.splits))
    learned = [dataset.train, no_target_split(dataset.train)]
    left = without_pictures(tables, barred, splits=learned)
    before, after = (
        len({row.image_id for row in rows if row.split in learned})
        for rows in (tables.images, left.images)
    )
    print(
        f"excluded images: {before - after:,} of {dataset.train} are in "
        f"{', '.join(other.splits)} of {other.folder}"
    )
    return left
