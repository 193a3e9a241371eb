"""ReferIt as TRIS publishes it: ``annotations/<split>.pickle``, made of RefCLEF by MultiGrounding's
script (Akbari et al., CVPR 2019), and the pictures of SAIAPR TC-12 in ``images/``.

A pickle maps the id of an image to its size and its annotations, one a query; a referent has as
many as it has different queries. Facts to know:

- The file decides the split; a referent's split in RefCLEF plays no part.
- ``category`` is a set of one number: the one global, ``set``, that these pickles may name.
- The box is in x1, y1, x2, y2, and the mask a list of run lengths.
- Nothing has an id but images and referents: a sentence's is its place among the sentences of all
  splits, by split, image, referent and words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.fields import Fields, records, shown
from pipeline.datasets.instances import MAX_SIDE, Box
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.segmentations import segmentation_rle
from pipeline.datasets.tables import DatasetTables, Sentence
from pipeline.records import ImageRecord, ObjectRecord, Truth
from pipeline.safety import InputError, load_plain_pickle
from pipeline.store import rle_area

SPLITS = ("train", "val", "test")
SET = ("builtins.set", "__builtin__.set")  # as protocols below 4 write it, in Python 3 and 2


@dataclass(frozen=True, slots=True)
class _Query:
    split: str
    image_id: int
    ref_id: int
    text: str
    category: str
    rle: bytes
    box: Box


def referit_sources(folder: str | Path, *, options: ReadOptions) -> dict[str, Path]:
    """By name, the files that the tables are made from: the pickles that are there."""
    paths = (Path(folder) / "annotations" / f"{split}.pickle" for split in SPLITS)
    return {path.name: path for path in paths if path.is_file()}


def read_referit(folder: str | Path, *, dataset: str, options: ReadOptions) -> DatasetTables:
    """The tables of the dataset in ``folder``, under the name ``dataset``.

    An empty query is passed over. The objects of an image are its referents: nothing else of it is
    in these files.

    InputError names the file, the image, the annotation (its index from 0) and the key.
    """
    paths = referit_sources(folder, options=options)
    if not paths:
        raise InputError(f"{Path(folder) / 'annotations'}: has no train.pickle or test.pickle")
    images: dict[tuple[str, int], ImageRecord] = {}
    referents: dict[int, _Query] = {}
    queries: list[_Query] = []
    for path in paths.values():
        content = load_plain_pickle(path, allow=SET, encoding="latin1")
        for record, query in _file(path, content, dataset, path.stem):
            images[record.split, record.image_id] = record
            if query is None:
                continue
            first = referents.setdefault(query.ref_id, query)
            if (first.split, first.image_id, first.rle) != (query.split, query.image_id, query.rle):
                raise InputError(
                    f"{path}: ref_id {query.ref_id} has two images, splits or masks; get it again"
                )
            queries.append(query)
    queries.sort(key=lambda q: (SPLITS.index(q.split), q.image_id, q.ref_id, q.text))
    used = {(query.split, query.image_id) for query in queries}
    sizes = {key: (record.height, record.width) for key, record in images.items()}
    return DatasetTables(
        expressions=[
            Sentence(dataset, q.split, q.image_id, q.ref_id, number, raw=q.text, sentence=q.text)
            for number, q in enumerate(queries)
        ],
        images=[images[key] for key in sorted(used, key=lambda key: (key[1], key[0]))],
        truth=[_truth(dataset, q, sizes[q.split, q.image_id]) for q in referents.values()],
        objects=[_object(dataset, q, sizes[q.split, q.image_id]) for q in referents.values()],
    )


def _file(
    path: Path, content: Any, dataset: str, split: str
) -> Iterator[tuple[ImageRecord, _Query | None]]:
    """Every annotation of a file with its image."""
    if not isinstance(content, dict):
        raise InputError(f"{path}: must be a mapping of images, not {type(content).__name__}")
    for key, value in content.items():
        where = f"{path}: image {shown(key)}"
        entry = Fields(value, where)
        image_id = Fields({"image_id": key}, where).integer("image_id")
        height, width = _size(entry)
        image = ImageRecord(dataset, image_id, f"{image_id}.jpg", height, width, split)
        for record in records(entry.get("annotations"), f"{where}: 'annotations'"):
            yield image, _query(record, image)


def _size(entry: Fields) -> tuple[int, int]:
    value = entry.get("size")
    whole = isinstance(value, tuple | list) and all(type(side) is int for side in value)
    if not whole or len(value) not in (2, 3) or not all(1 <= s <= MAX_SIDE for s in value[:2]):
        raise entry.wrong("size", f"must be a height and a width in 1..{MAX_SIDE}")
    return value[0], value[1]


def _query(record: Fields, image: ImageRecord) -> _Query | None:
    """None for a query without words."""
    query = record.get("query")
    if isinstance(query, str) and not query.strip():
        return None
    boxes = record.get("bbox")
    if not isinstance(boxes, list) or len(boxes) != 1:
        raise record.wrong("bbox", "must be a list of one box")
    x1, y1, x2, y2 = Fields({"bbox": boxes[0]}, record.where).numbers("bbox", 4)
    if x2 < x1 or y2 < y1:
        raise record.wrong("bbox", "has a negative width or height")
    categories = record.get("category")
    if not isinstance(categories, set | frozenset | list | tuple):
        raise record.wrong("category", "must be a set of numbers")
    return _Query(
        split=image.split,
        image_id=image.image_id,
        ref_id=record.integer("ref_id"),
        text=record.text("query"),
        category="+".join(sorted(shown(category).strip("'") for category in categories)),
        rle=segmentation_rle(
            record.get("segmentation"), record, image.height, image.width, "union"
        ),
        box=(x1, y1, x2 - x1, y2 - y1),
    )


def _truth(dataset: str, query: _Query, size: tuple[int, int]) -> Truth:
    return Truth(
        dataset=dataset,
        split=query.split,
        image_id=query.image_id,
        ref_id=query.ref_id,
        category=query.category,
        rle=query.rle,
        height=size[0],
        width=size[1],
        box=query.box,
        area=rle_area(query.rle, *size),
    )


def _object(dataset: str, query: _Query, size: tuple[int, int]) -> ObjectRecord:
    return ObjectRecord(
        dataset=dataset,
        image_id=query.image_id,
        ann_id=query.ref_id,
        category=query.category,
        rle=query.rle,
        height=size[0],
        width=size[1],
        box=query.box,
    )
