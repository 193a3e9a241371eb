"""Masks of your own pictures: drawn ones in ``masks/``, or COCO's annotations; both may be lacking.

A referent is told by its image and :func:`referent_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pycocotools import mask as coco_mask

from pipeline.datasets.instances import Box, Instances, read_instances
from pipeline.datasets.mistakes import Mistakes
from pipeline.datasets.options import ReadOptions
from pipeline.datasets.own_list import OwnRow
from pipeline.records import ObjectRecord
from pipeline.safety import InputError, inside, open_mask
from pipeline.store import rle_area, rle_encode

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class OwnMask:
    """A referent's mask; no category if it was drawn. ``box``: x, y, width, height."""

    rle: bytes
    category: str
    box: Box


def referent_of(row: OwnRow) -> str:
    """What tells the row's referent from others of its image."""
    if row.referent is not None:
        return f"referent {row.referent}"
    if row.mask is not None:
        return f"mask {row.mask}"
    if row.annotations:
        return f"annotation {' '.join(row.annotations)}"
    return f"expression {row.expression}"


def own_instances(
    folder: Path, rows: Sequence[OwnRow], options: ReadOptions, mistakes: Mistakes
) -> Instances:
    """Those of ``instances.json``; none if the file is not there, or not as it must be."""
    path = folder / "instances.json"
    if path.is_file():
        try:
            return read_instances(path, overlapping_polygons=options.overlapping_polygons)
        except InputError as error:
            mistakes.add(0, str(error))
    else:
        asking = next((row for row in rows if row.annotations), None)
        if asking is not None:
            mistakes.add(asking.line, f"names an annotation, and there is no {path}")
    return Instances({}, {})


def own_masks(
    folder: Path,
    rows: Sequence[OwnRow],
    sizes: Mapping[str, Size],
    instances: Instances,
    mistakes: Mistakes,
) -> dict[tuple[str, str], OwnMask]:
    """Image and referent -> mask, of those that have one."""
    found: dict[tuple[str, str], OwnMask] = {}
    tried: set[tuple[str, str]] = set()
    for row in rows:
        key = row.image, referent_of(row)
        if key in tried or (row.mask is None and not row.annotations):
            continue
        tried.add(key)
        try:
            if row.mask is not None:
                found[key] = _drawn(inside(folder / "masks", row.mask), sizes[row.image])
            elif instances.annotations:
                found[key] = _annotated(row, sizes[row.image], instances)
        except InputError as error:
            mistakes.add(row.line, str(error))
    return found


def _drawn(path: Path, size: Size) -> OwnMask:
    mask = open_mask(path, size)
    rle = rle_encode(mask)
    return OwnMask(rle, "", _box_of(rle, size))


def _annotated(row: OwnRow, size: Size, instances: Instances) -> OwnMask:
    """The union of the row's annotations."""
    coded, categories = [], set()
    for ann_id in row.annotations:
        annotation = instances.annotations.get(ann_id)
        if annotation is None:
            raise InputError(f"annotation {ann_id:.50} is not in instances.json")
        image = instances.images[annotation.image_id]
        if PurePosixPath(image.file).name != PurePosixPath(row.image).name:
            raise InputError(f"annotation {ann_id:.50} is of {image.file}, not of {row.image}")
        if (image.height, image.width) != size:
            raise InputError(
                f"{row.image} is {size[0]} high and {size[1]} wide, instances.json says "
                f"{image.height} and {image.width}"
            )
        coded.append({"size": list(size), "counts": annotation.rle})
        categories.add(annotation.category)
    rle: bytes = coco_mask.merge(coded)["counts"]
    return OwnMask(rle, "+".join(sorted(categories)), _box_of(rle, size))


def _box_of(rle: bytes, size: Size) -> Box:
    x, y, width, height = coco_mask.toBbox({"size": list(size), "counts": rle}).tolist()
    return float(x), float(y), float(width), float(height)


def own_objects(
    dataset: str,
    image_ids: Mapping[str, int],
    sizes: Mapping[str, Size],
    masks: Mapping[tuple[str, str], OwnMask],
    instances: Instances,
) -> list[ObjectRecord]:
    """The annotated objects of the images, and the masks that are pictures; each mask once."""
    by_name = {PurePosixPath(image).name: image for image in image_ids}
    found: dict[tuple[str, bytes], OwnMask] = {}
    for annotation in instances.annotations.values():
        image = by_name.get(PurePosixPath(instances.images[annotation.image_id].file).name)
        published = instances.images[annotation.image_id]
        if image is not None and (published.height, published.width) == sizes[image]:
            mask = OwnMask(annotation.rle, annotation.category, annotation.box)
            found[image, annotation.rle] = mask
    for (image, _), mask in masks.items():
        if not mask.category:  # drawn: what instances.json has is there already
            found.setdefault((image, mask.rle), mask)
    return [
        ObjectRecord(
            dataset=dataset,
            image_id=image_ids[image],
            ann_id=number,
            category=mask.category,
            rle=mask.rle,
            height=sizes[image][0],
            width=sizes[image][1],
            box=mask.box,
        )
        for number, ((image, _), mask) in enumerate(sorted(found.items(), key=lambda i: i[0]), 1)
        if rle_area(mask.rle, *sizes[image])
    ]
