"""Your own pictures and sentences, with masks or without (``dataset.reader: csv``).

``expressions.csv`` or ``expressions.jsonl`` lists them (:mod:`pipeline.datasets.own_list`),
``images/`` holds the pictures. Masks are only measured, and need not be there: a picture each in
``masks/``, or annotations of a COCO file, ``instances.json``.

- Sentences without a referent's name share a referent if they share a mask; else each has its own.
- Where no row says its split, whole images are dealt out, by a digest of their names.
- Numbers for images, referents and sentences are places in the order of names and words, so that
  the order of the list means nothing.
- Pictures are seen as they are shown (turned as the camera noted), and masks are drawn on that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.datasets.instances import Instances
from pipeline.datasets.mistakes import Mistakes
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.own_list import OwnRow, list_file, read_list
from pipeline.datasets.own_masks import (
    OwnMask,
    Size,
    own_instances,
    own_masks,
    own_objects,
    referent_of,
)
from pipeline.datasets.pictures import image_folder
from pipeline.datasets.tables import DatasetTables, Sentence
from pipeline.records import ImageRecord, Truth
from pipeline.safety import InputError, inside, upright_size
from pipeline.store import rle_area

MAX_PIXELS = 1 << 26  # of a picture


def own_sources(folder: str | Path, *, options: ReadOptions) -> dict[str, Path]:
    """By name, the lists that the tables are made from, there or not."""
    folder = Path(folder)
    names = ("expressions.csv", "expressions.jsonl", "instances.json")
    there = {name: folder / name for name in names if (folder / name).is_file()}
    return there or {"expressions.csv": folder / "expressions.csv"}


def read_own(folder: str | Path, *, dataset: str, options: ReadOptions) -> DatasetTables:
    """The tables of the dataset in ``folder``; referents without a mask have no row of truth.

    InputError lists every mistake by its line: of the list, of the pictures and of the masks.
    """
    folder = Path(folder)
    path = list_file(folder)
    mistakes = Mistakes(path)
    rows = read_list(path, mistakes)
    rows = _consistent(rows, mistakes)
    sizes = _sizes(image_folder(folder), rows, mistakes)
    rows = [row for row in rows if row.image in sizes]
    instances = own_instances(folder, rows, options, mistakes)
    masks = own_masks(folder, rows, sizes, instances, mistakes)
    if not rows and not len(mistakes):
        mistakes.add(0, "lists no expression")
    splits = _splits(rows, options, mistakes)
    mistakes.raise_if_any()
    return _tables(dataset, rows, sizes, splits, masks, instances)


def _consistent(rows: Sequence[OwnRow], mistakes: Mistakes) -> list[OwnRow]:
    """The rows that agree with those before them."""
    said: dict[tuple[str, str, str], int] = {}
    split_of: dict[str, OwnRow] = {}
    mask_of: dict[tuple[str, str], OwnRow] = {}
    kept = []
    for row in rows:
        before = len(mistakes)
        referent = row.image, referent_of(row)
        first = said.setdefault((*referent, row.expression), row.line)
        if first != row.line:
            mistakes.add(row.line, f"says the same as line {first}; remove one of them")
        other = split_of.setdefault(row.image, row) if row.split is not None else row
        if other.split != row.split:
            mistakes.add(
                row.line,
                f"image {row.image} is of split {row.split} here and of {other.split} in line "
                f"{other.line}; an image belongs to one",
            )
        if row.mask is not None or row.annotations:
            other = mask_of.setdefault(referent, row)
            if (other.mask, other.annotations) != (row.mask, row.annotations):
                mistakes.add(row.line, f"{referent[1]} has another mask than in line {other.line}")
        if len(mistakes) == before:
            kept.append(row)
    unsaid = [row for row in rows if row.split is None]
    if unsaid and len(unsaid) < len(rows):
        mistakes.add(
            unsaid[0].line,
            f"has no split, as {len(unsaid) - 1} others, but some lines have; give all or none",
        )
    return kept


def _sizes(folder: Path, rows: Sequence[OwnRow], mistakes: Mistakes) -> dict[str, Size]:
    """Height and width of every picture; its first line names one that is missing or damaged."""
    sizes: dict[str, Size] = {}
    tried: set[str] = set()
    for row in rows:
        if row.image in tried:
            continue
        tried.add(row.image)
        try:
            sizes[row.image] = upright_size(inside(folder, row.image), MAX_PIXELS)
        except InputError as error:
            mistakes.add(row.line, str(error))
    return sizes


def _splits(rows: Sequence[OwnRow], options: ReadOptions, mistakes: Mistakes) -> dict[str, str]:
    """Image -> split, as the rows say or dealt out where none does."""
    said = {row.image: row.split for row in rows if row.split is not None}
    images = sorted({row.image for row in rows}, key=_digest)
    if said or not images:
        return said
    if len(images) < 2:
        mistakes.add(0, "has one image; some to train on and one to look at are needed")
    held_out = max(1, round(options.held_out * len(images)))
    return {
        image: options.held_out_split if place < held_out else options.train
        for place, image in enumerate(images)
    }


def _digest(image: str) -> bytes:
    return hashlib.sha256(image.encode()).digest()


def _tables(
    dataset: str,
    rows: Sequence[OwnRow],
    sizes: Mapping[str, Size],
    splits: Mapping[str, str],
    masks: Mapping[tuple[str, str], OwnMask],
    instances: Instances,
) -> DatasetTables:
    image_ids = {image: number for number, image in enumerate(sorted(sizes), 1)}
    referents = sorted({(row.image, referent_of(row)) for row in rows})
    ref_ids = {referent: number for number, referent in enumerate(referents, 1)}
    ordered = sorted(rows, key=lambda row: (row.image, referent_of(row), row.expression))
    return DatasetTables(
        expressions=[
            Sentence(
                dataset,
                splits[row.image],
                image_ids[row.image],
                ref_ids[row.image, referent_of(row)],
                sent_id=number,
                raw=row.expression,
                sentence=row.expression,
            )
            for number, row in enumerate(ordered, 1)
        ],
        images=[
            ImageRecord(dataset, number, image, *sizes[image], splits[image])
            for image, number in image_ids.items()
        ],
        truth=[
            Truth(
                dataset=dataset,
                split=splits[image],
                image_id=image_ids[image],
                ref_id=ref_ids[image, referent],
                category=mask.category,
                rle=mask.rle,
                height=sizes[image][0],
                width=sizes[image][1],
                box=mask.box,
                area=rle_area(mask.rle, *sizes[image]),
            )
            for (image, referent), mask in sorted(masks.items())
        ],
        objects=own_objects(dataset, image_ids, sizes, masks, instances),
    )
