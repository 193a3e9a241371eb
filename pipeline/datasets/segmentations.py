"""COCO segmentations in their four published forms, as one compressed run length each.

Polygons (united as COCO's ``annToMask`` does it, or without the pixels under several of them, as
those do who keep what is 1 in the sums of REFER's own reader), a run length with compressed or
plain counts (crowds), and a list of run lengths (ReferIt).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pipeline.datasets.fields import Fields, shown
from pipeline.datasets.options import OverlappingPolygons
from pipeline.safety import InputError
from pipeline.store import rle_decode, rle_encode


def segmentation_rle(
    value: Any, annotation: Fields, height: int, width: int, overlap: OverlappingPolygons
) -> bytes:
    """The run length of a segmentation on its image of height x width pixels.

    ``annotation`` is the record to name: InputError for anything but the four forms, a run length
    of another size than the image's, and coordinates that are not near the image.
    """
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not value:
        raise annotation.wrong("segmentation", "must be polygons or a run length")
    if all(isinstance(item, dict) for item in value):
        masks = [_run_length(annotation, item, height, width) for item in value]
        return rle_encode(np.logical_or.reduce(masks))
    polygons = [_polygon(annotation, item, height, width) for item in value]
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]  # fewer corners cover nothing
    if not polygons:
        return rle_encode(np.zeros((height, width), dtype=np.bool_))
    drawn = coco_mask.frPyObjects(polygons, height, width)
    if overlap == "background" and len(drawn) > 1:
        return rle_encode(coco_mask.decode(drawn).sum(axis=2, dtype=np.int64) == 1)
    merged: bytes = coco_mask.merge(drawn)["counts"]
    return merged


def _polygon(annotation: Fields, value: Any, height: int, width: int) -> list[float]:
    """x, y, x, y ... in pixels; at most an image size off the image, as drawing costs by length."""
    try:
        points = np.asarray(value)
        well_formed = points.ndim == 1 and points.size % 2 == 0 and points.dtype.kind in "iuf"
    except ValueError:  # lists of different lengths
        well_formed = False
    if not isinstance(value, list) or not well_formed:
        raise annotation.wrong("segmentation", "has a polygon that is no list of x, y pairs")
    size = np.array([width, height])
    points = points.reshape(-1, 2)
    if not np.all((points >= -size) & (points <= 2 * size)):  # not a number is neither
        raise annotation.wrong("segmentation", f"leads far off its image of {height} x {width}")
    return value


def _run_length(annotation: Fields, value: dict[str, Any], height: int, width: int) -> np.ndarray:
    """The bool mask (height, width) of a run length with compressed or plain counts."""
    size, counts = value.get("size"), value.get("counts")
    if size != [height, width]:
        raise annotation.wrong(
            "segmentation", f"has size {shown(size)}, its image is {height} high and {width} wide"
        )
    if isinstance(counts, list):
        if not all(isinstance(n, int) and 0 <= n <= height * width for n in counts):
            raise annotation.wrong("segmentation", "has counts that are no pixel counts")
        if sum(counts) != height * width:
            raise annotation.wrong("segmentation", "has counts that do not fill its image")
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return flat.reshape(width, height).T
    if isinstance(counts, str):
        counts = counts.encode(errors="replace")  # what is no text is no run length either
    if not isinstance(counts, bytes):
        raise annotation.wrong("segmentation", "has no counts")
    try:
        return rle_decode(counts, height, width)
    except InputError as error:
        raise annotation.wrong("segmentation", "has counts that do not fill its image") from error
