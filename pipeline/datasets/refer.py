"""RefCOCO, RefCOCO+, RefCOCOg and ReferIt as REFER publishes them (Kazemzadeh et al., EMNLP 2014;
Yu et al., ECCV 2016), and the miniature, which is written in the same form.

``refs(<split_by>).p`` holds the referents and their sentences, ``instances.json`` the images and
the annotations of all their objects, ``images/`` the pictures. Facts to know:

- The ``file_name`` of a ref is no file: the picture's name is the one in ``instances.json``.
- An ``ann_id`` may serve two refs (RefCOCOg); a referent is known by its ``ref_id``.
- Ids of annotations may be words (ReferIt).
- The splits of the google partitions cut through images: an image then belongs to several splits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.fields import Fields, records
from pipeline.datasets.segmentations import segmentation_rle
from pipeline.datasets.tables import DatasetTables, Sentence
from pipeline.records import ImageRecord, ObjectRecord, Truth
from pipeline.safety import InputError, inside, load_plain_pickle
from pipeline.store import read_json, rle_area

_NUMBER = re.compile(r"-?[0-9]{1,18}")
MAX_SIDE = 16384  # pixels; bounds the masks that a damaged or hostile file can ask for

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Image:
    file: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class _Annotation:
    image_id: int
    category: str
    rle: bytes
    box: Box


def image_folder(folder: str | Path) -> Path:
    """Where the pictures of a dataset in REFER's form lie (a link to the folder does as well)."""
    return Path(folder) / "images"


def refs_file(folder: str | Path, split_by: str) -> Path:
    return inside(folder, f"refs({split_by}).p")


def source_files(folder: str | Path, *, split_by: str) -> dict[str, Path]:
    """By name, the files that the tables are made from; the pictures are only looked for."""
    paths = (refs_file(folder, split_by), Path(folder) / "instances.json")
    return {path.name: path for path in paths}


def read_refer(folder: str | Path, *, dataset: str, split_by: str) -> DatasetTables:
    """The tables of the dataset in ``folder``, under the name ``dataset``.

    split_by: whose partition: "unc", "google", "umd" or "berkeley".

    InputError names the file, the record (its index from 0) and the key for whatever is missing, of
    the wrong type or inconsistent, and the first picture that is not there.
    """
    folder = Path(folder)
    source = folder / "instances.json"
    instances = Fields(read_json(source), str(source))
    images = _images(instances)
    annotations = _annotations(instances, images)
    path = refs_file(folder, split_by)
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in folder.glob("refs(*).p"))) or "none"
        raise InputError(f"{path}: no such file; choose a split_by that is there ({there})")
    sentences, truth = _refs(path, load_plain_pickle(path), dataset, annotations, images)
    used = {(item.split, item.image_id) for item in truth}
    ids = {image_id for _, image_id in used}
    _check_pictures(image_folder(folder), {image_id: images[image_id].file for image_id in ids})
    return DatasetTables(
        expressions=sentences,
        images=[
            ImageRecord(dataset, image_id, image.file, image.height, image.width, split)
            for split, image_id in sorted(used, key=lambda key: (key[1], key[0]))
            for image in (images[image_id],)
        ],
        truth=truth,
        objects=_objects(dataset, annotations, images, ids),
    )


def _images(instances: Fields) -> dict[int, _Image]:
    images: dict[int, _Image] = {}
    for record in instances.records("images"):
        image_id = record.integer("id")
        if image_id in images:
            raise record.wrong("id", f"{image_id} is there twice")
        height, width = record.integer("height"), record.integer("width")
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise record.wrong("height", f"or width is not in 1..{MAX_SIDE}: {height} x {width}")
        images[image_id] = _Image(_file_name(record), height, width)
    return images


def _file_name(record: Fields) -> str:
    name = record.text("file_name")
    try:
        inside("images", name)
    except InputError as error:
        raise InputError(f"{record.where}: 'file_name': {error}") from error
    return name


def _annotations(instances: Fields, images: dict[int, _Image]) -> dict[str, _Annotation]:
    categories = {
        record.integer("id"): record.text("name") for record in instances.records("categories")
    }
    annotations: dict[str, _Annotation] = {}
    for record in instances.records("annotations"):
        ann_id, image_id = record.identity("id"), record.integer("image_id")
        category_id = record.integer("category_id")
        if ann_id in annotations:
            raise record.wrong("id", f"{ann_id} is there twice")
        if image_id not in images:
            raise record.wrong("image_id", f"{image_id} is no image of this file")
        if category_id not in categories:
            raise record.wrong("category_id", f"{category_id} is no category of this file")
        image = images[image_id]
        annotations[ann_id] = _Annotation(
            image_id=image_id,
            category=categories[category_id],
            rle=segmentation_rle(record, image.height, image.width),
            box=_box(record),
        )
    return annotations


def _box(record: Fields) -> Box:
    x, y, width, height = record.numbers("bbox", 4)
    if width < 0 or height < 0:
        raise record.wrong("bbox", f"has a negative width or height: {width} x {height}")
    return x, y, width, height


def _refs(
    path: Path,
    refs: object,
    dataset: str,
    annotations: dict[str, _Annotation],
    images: dict[int, _Image],
) -> tuple[list[Sentence], list[Truth]]:
    sentences: list[Sentence] = []
    truth: list[Truth] = []
    ref_ids: set[int] = set()
    sent_ids: set[int] = set()
    for record in records(refs, str(path)):
        ref_id, ann_id = record.integer("ref_id"), record.identity("ann_id")
        image_id, split = record.integer("image_id"), record.text("split")
        if ref_id in ref_ids:
            raise record.wrong("ref_id", f"{ref_id} is there twice")
        ref_ids.add(ref_id)
        annotation = annotations.get(ann_id)
        if annotation is None:
            raise record.wrong("ann_id", f"{ann_id} is no annotation of instances.json")
        if annotation.image_id != image_id:
            raise record.wrong(
                "image_id", f"is {image_id}, its annotation {ann_id} is of {annotation.image_id}"
            )
        image = images[image_id]
        truth.append(
            Truth(
                dataset=dataset,
                split=split,
                image_id=image_id,
                ref_id=ref_id,
                category=annotation.category,
                rle=annotation.rle,
                height=image.height,
                width=image.width,
                box=annotation.box,
                area=rle_area(annotation.rle, image.height, image.width),
            )
        )
        found = [
            _sentence(item, (dataset, split, image_id, ref_id), sent_ids)
            for item in record.records("sentences")
        ]
        if not found:
            raise record.wrong("sentences", f"is empty: ref_id {ref_id} has no expression")
        sentences += found
    return sentences, truth


def _sentence(item: Fields, keys: tuple[str, str, int, int], seen: set[int]) -> Sentence:
    sent_id = item.integer("sent_id")
    if sent_id in seen:
        raise item.wrong("sent_id", f"{sent_id} is there twice (ref_id {keys[3]})")
    seen.add(sent_id)
    named = Fields(
        {key: item.get(key) for key in ("raw", "sent")},
        f"{item.where} (ref_id {keys[3]}, sent_id {sent_id})",
    )
    return Sentence(*keys, sent_id=sent_id, raw=named.text("raw"), sentence=named.text("sent"))


def _check_pictures(folder: Path, files: dict[int, str]) -> None:
    missing = [name for _, name in sorted(files.items()) if not inside(folder, name).is_file()]
    if missing:
        raise InputError(
            f"{inside(folder, missing[0])}: no such picture ({len(missing)} of {len(files)} are "
            "missing); put or link the dataset's pictures there"
        )


def _objects(
    dataset: str,
    annotations: dict[str, _Annotation],
    images: dict[int, _Image],
    image_ids: set[int],
) -> list[ObjectRecord]:
    """All annotated objects of the images that are referred to."""
    # Ids that are words become their rank in sorted order, which no reordering of the file changes.
    numeric = all(_NUMBER.fullmatch(ann_id) for ann_id in annotations)
    numbers = {
        ann_id: int(ann_id) if numeric else rank for rank, ann_id in enumerate(sorted(annotations))
    }
    return [
        ObjectRecord(
            dataset=dataset,
            image_id=annotation.image_id,
            ann_id=numbers[ann_id],
            category=annotation.category,
            rle=annotation.rle,
            height=images[annotation.image_id].height,
            width=images[annotation.image_id].width,
            box=annotation.box,
        )
        for ann_id, annotation in annotations.items()
        if annotation.image_id in image_ids
    ]
