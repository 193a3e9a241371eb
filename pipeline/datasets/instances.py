"""COCO's ``instances.json``, as REFER and gRefCOCO publish it beside their referents.

Images, categories and the annotations of all objects. Ids of annotations may be words (ReferIt).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.fields import Fields
from pipeline.datasets.options import OverlappingPolygons
from pipeline.datasets.segmentations import segmentation_rle
from pipeline.records import ImageRecord, ObjectRecord
from pipeline.safety import InputError, inside
from pipeline.store import read_json

_NUMBER = re.compile(r"-?[0-9]{1,18}")
MAX_SIDE = 16384  # pixels; bounds the masks that a damaged or hostile file can ask for

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PublishedImage:
    """``file`` as it is published; height and width in pixels."""

    file: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Annotation:
    """An object: ``rle`` on its image, ``box`` x, y, width, height in pixels; a crowd or one."""

    image_id: int
    category: str
    rle: bytes
    box: Box
    crowd: bool


@dataclass(frozen=True, slots=True)
class Instances:
    """Images by id, annotations by id as text."""

    images: Mapping[int, PublishedImage]
    annotations: Mapping[str, Annotation]

    def image_records(self, dataset: str, used: set[tuple[str, int]]) -> list[ImageRecord]:
        """One record for each (split, image_id), by image."""
        return [
            ImageRecord(dataset, image_id, image.file, image.height, image.width, split)
            for split, image_id in sorted(used, key=lambda key: (key[1], key[0]))
            for image in (self.images[image_id],)
        ]

    def object_records(self, dataset: str, image_ids: set[int]) -> list[ObjectRecord]:
        """All annotated objects of some images."""
        # Ids that are words become their rank in sorted order, which no reordering of the file
        # changes.
        numeric = all(_NUMBER.fullmatch(ann_id) for ann_id in self.annotations)
        numbers = {
            ann_id: int(ann_id) if numeric else rank
            for rank, ann_id in enumerate(sorted(self.annotations))
        }
        return [
            ObjectRecord(
                dataset=dataset,
                image_id=annotation.image_id,
                ann_id=numbers[ann_id],
                category=annotation.category,
                rle=annotation.rle,
                height=self.images[annotation.image_id].height,
                width=self.images[annotation.image_id].width,
                box=annotation.box,
            )
            for ann_id, annotation in self.annotations.items()
            if annotation.image_id in image_ids
        ]


def read_instances(path: Path, *, overlapping_polygons: OverlappingPolygons) -> Instances:
    """InputError names the file, the record (its index from 0) and the key that is wrong."""
    content = Fields(read_json(path), str(path))
    images = _images(content)
    return Instances(images, _annotations(content, images, overlapping_polygons))


def _images(content: Fields) -> dict[int, PublishedImage]:
    images: dict[int, PublishedImage] = {}
    for record in content.records("images"):
        image_id = record.integer("id")
        if image_id in images:
            raise record.wrong("id", f"{image_id} is there twice")
        height, width = record.integer("height"), record.integer("width")
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise record.wrong("height", f"or width is not in 1..{MAX_SIDE}: {height} x {width}")
        images[image_id] = PublishedImage(_file_name(record), height, width)
    return images


def _file_name(record: Fields) -> str:
    name = record.text("file_name")
    try:
        inside("images", name)
    except InputError as error:
        raise InputError(f"{record.where}: 'file_name': {error}") from error
    return name


def _annotations(
    content: Fields, images: dict[int, PublishedImage], overlap: OverlappingPolygons
) -> dict[str, Annotation]:
    categories = {
        record.integer("id"): record.text("name") for record in content.records("categories")
    }
    annotations: dict[str, Annotation] = {}
    for record in content.records("annotations"):
        ann_id, image_id = record.identity("id"), record.integer("image_id")
        category_id = record.integer("category_id")
        if ann_id in annotations:
            raise record.wrong("id", f"{ann_id} is there twice")
        if image_id not in images:
            raise record.wrong("image_id", f"{image_id} is no image of this file")
        if category_id not in categories:
            raise record.wrong("category_id", f"{category_id} is no category of this file")
        image = images[image_id]
        annotations[ann_id] = Annotation(
            image_id=image_id,
            category=categories[category_id],
            rle=segmentation_rle(
                record.get("segmentation"), record, image.height, image.width, overlap
            ),
            box=_box(record),
            crowd=bool(record.optional("iscrowd", 0)),
        )
    return annotations


def _box(record: Fields) -> Box:
    x, y, width, height = record.numbers("bbox", 4)
    if width < 0 or height < 0:
        raise record.wrong("bbox", f"has a negative width or height: {width} x {height}")
    return x, y, width, height
