"""What the published datasets must count: a cut, mixed up or older copy is found before training.

Referents and images are those of TensorFlow Datasets' tables, sentences those of the papers'
partitions, counts of seen and unseen referents those of CGFormer, RefCLEF's images those of its
re-publication (refclef-benchmark). Only figures that are published for just these files are here:
of the google partitions' sentences, and of RefCLEF's referents and sentences, there are none (those
of the collection that it was made from are larger), of gRefCOCO the totals alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.datasets.tables import DatasetTables
from pipeline.safety import InputError

ALL = "all splits"
Counts = Mapping[str, Mapping[str, int]]  # split -> what is counted -> number


def _split(
    images: int, referents: int | None = None, expressions: int | None = None
) -> dict[str, int]:
    """What is known of a split."""
    known = {"images": images, "referents": referents, "expressions": expressions}
    return {what: number for what, number in known.items() if number is not None}


PUBLISHED: dict[tuple[str, str], Counts] = {
    ("refcoco", "unc"): {
        "train": _split(16_994, 42_404, 120_624),
        "val": _split(1_500, 3_811, 10_834),
        "testA": _split(750, 1_975, 5_657),
        "testB": _split(750, 1_810, 5_095),
        ALL: _split(19_994, 50_000, 142_210),
    },
    ("refcoco", "google"): {
        "train": _split(19_213, 40_000),
        "val": _split(4_559, 5_000),
        "test": _split(4_527, 5_000),
    },
    ("refcoco+", "unc"): {
        "train": _split(16_992, 42_278, 120_191),
        "val": _split(1_500, 3_805, 10_758),
        "testA": _split(750, 1_975, 5_726),
        "testB": _split(750, 1_798, 4_889),
        ALL: _split(19_992, 49_856, 141_564),
    },
    ("refcocog", "umd"): {
        "train": _split(21_899, 42_226, 80_512),
        "val": _split(1_300, 2_573, 4_896),
        "test": _split(2_600, 5_023, 9_602),
        ALL: _split(25_799, 49_822, 95_010),
    },
    ("refcocog", "google"): {
        "train": _split(24_698, 44_822),
        "val": _split(4_650, 5_000),
    },
    ("refclef", "unc"): {
        "val": _split(2_000),
        "testA": _split(485),
        "testB": _split(490),
        "testC": _split(465),
    },
    ("grefcoco", "unc"): {ALL: {"images": 19_994, "expressions": 259_859}},
}
"""By name and partition."""

SEEN_AND_UNSEEN: dict[tuple[str, str], Mapping[str, int]] = {
    ("refcoco", "unc"): {
        "train_seen": 35_473,
        "val_seen": 3_175,
        "val_unseen": 445,
        "test_seen": 3_200,
        "test_unseen": 394,
    },
    ("refcoco+", "unc"): {
        "train_seen": 35_375,
        "val_seen": 3_171,
        "val_unseen": 444,
        "test_seen": 3_189,
        "test_unseen": 394,
    },
    ("refcocog", "umd"): {
        "train_seen": 33_093,
        "val_seen": 2_000,
        "val_unseen": 386,
        "test_seen": 3_935,
        "test_unseen": 759,
    },
    ("refcocog", "google"): {"train_seen": 35_105, "val_seen": 3_923, "val_unseen": 760},
}
"""Referents by split when the categories are split; by name and partition."""


def published_name(name: str, split_by: str) -> tuple[str, str]:
    """The name and partition of a dataset that is called ``refcocog`` or ``refcocog_umd``."""
    return name.lower().removesuffix(f"_{split_by}"), split_by


def count(tables: DatasetTables) -> dict[str, dict[str, int]]:
    """Images, referents and expressions of each split and of all."""
    found: dict[str, dict[str, int]] = {}
    splits = sorted({row.split for row in tables.truth})
    for split in (*splits, ALL):
        of_split = (None if split == ALL else split,)
        images, referents, expressions = (
            [row for row in rows if of_split[0] is None or row.split == of_split[0]]
            for rows in (tables.images, tables.truth, tables.expressions)
        )
        found[split] = {
            "images": len({row.image_id for row in images}),
            "referents": len(referents),
            "expressions": len(expressions),
        }
    return found


def check_counts(tables: DatasetTables, *, name: str, split_by: str) -> None:
    """InputError says which published figures a known dataset does not have; others pass."""
    known = PUBLISHED.get(published_name(name, split_by), {})
    found = count(tables) if known else {}
    wrong = [
        f"{split} has {found.get(split, {}).get(what, 0):,} {what}, published are {number:,}"
        for split, counts in known.items()
        for what, number in counts.items()
        if found.get(split, {}).get(what, 0) != number
    ]
    if wrong:
        raise InputError(_explained(name, split_by, wrong))


def check_category_counts(tables: DatasetTables, *, name: str, split_by: str) -> None:
    """The same for the referents of seen and unseen categories."""
    known = SEEN_AND_UNSEEN.get(published_name(name, split_by), {})
    found = count(tables) if known else {}
    wrong = [
        f"{split} has {found.get(split, {}).get('referents', 0):,} referents, "
        f"published are {number:,}"
        for split, number in known.items()
        if found.get(split, {}).get("referents", 0) != number
    ]
    if wrong:
        raise InputError(_explained(name, split_by, wrong))


def _explained(name: str, split_by: str, wrong: list[str]) -> str:
    return (
        f"dataset.name: this is not {name} ({split_by}) as published: {'; '.join(wrong)}. Get its "
        "files again, or give a dataset of your own another name"
    )
