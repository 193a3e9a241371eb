"""What no method should fall below: guesses that never read the sentence.

Expected values, not draws, so that they carry no noise of their own. They are measured on the same
expressions and at the image's size:

- random_point: a point drawn from the image (PointM: the mask's share of the image).
- centre_point: the pixel in the middle.
- random_object: one of the image's annotated objects; a point drawn from it, and its mask.
- largest_object: the one with the most pixels, likewise.
- whole_image: every pixel.

A point drawn from an object counts as far as the object lies within the referent: 1 for the
referent itself, 0 for any object apart from it. So a measure may lie between 0 and 1.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.conventions import Convention
from pipeline.evaluation.scoring import Records, blank_records
from pipeline.evaluation.truth import ImageKey, ImageTruth
from pipeline.metrics import (
    Bools,
    Floats,
    areas,
    intersection_over_union,
    points_in_boxes,
    points_in_masks,
)

BASELINES: tuple[str, ...] = (
    "random_point",
    "centre_point",
    "random_object",
    "largest_object",
    "whole_image",
)


def baseline_records(
    image: ImageKey, truth: ImageTruth, convention: Convention
) -> dict[str, Records]:
    """The records of every baseline for the expressions of one image.

    Where no object is annotated, those of an object have no value (NaN).
    """
    ids = np.array(list(truth.expressions), dtype=np.int64).reshape(-1, 2)
    places = truth.places(ids[:, 0])
    blank = blank_records(image, ids[:, 0], ids[:, 1], truth)
    records = {name: dict(blank) for name in BASELINES}
    targeted = blank["truth_area"] > 0
    random_point, hit = _random_point(truth)
    random_object, largest_object = _object_guesses(truth, convention)
    whole = np.ones((1, *truth.size), dtype=np.bool_)
    height, width = truth.size
    centre = np.tile([width // 2, height // 2], (len(truth.masks), 1))
    found: dict[str, dict[str, Floats]] = {  # name -> measure -> one value a referent
        "random_point": {"point": random_point, "hit": hit},
        "centre_point": {
            "point": points_in_masks(centre, truth.masks).astype(np.float64),
            "hit": points_in_boxes(centre, truth.boxes).astype(np.float64),
        },
        "random_object": random_object,
        "largest_object": largest_object,
        "whole_image": {"iou": _objects_against(truth.masks, whole, convention)[1][:, 0]},
    }
    for name, measures in found.items():
        for measure, values in measures.items():
            of_expressions = values[places]
            if measure != "iou":
                of_expressions = np.where(targeted, of_expressions, np.nan)
            records[name][measure] = of_expressions
    return records


def _random_point(truth: ImageTruth) -> tuple[Floats, Floats]:
    """Chances (R,) that a pixel drawn from the image lies in each mask, and in each box."""
    height, width = truth.size
    x1, y1, x2, y2 = truth.boxes.T
    columns = (np.minimum(x2, width - 1) - np.maximum(x1, 0) + 1).clip(0)
    rows = (np.minimum(y2, height - 1) - np.maximum(y1, 0) + 1).clip(0)
    pixels = height * width
    return areas(truth.masks) / pixels, columns * rows / pixels


def _object_guesses(
    truth: ImageTruth, convention: Convention
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Point and IoU (R,) of an object drawn at random, and of the largest."""
    if truth.objects is None or not len(truth.objects):
        nothing = np.full(len(truth.masks), np.nan)
        return {"point": nothing, "iou": nothing}, {"point": nothing, "iou": nothing}
    inside, iou = _objects_against(truth.masks, truth.objects, convention)
    largest = int(areas(truth.objects).argmax())
    return (
        {"point": inside.mean(axis=1), "iou": iou.mean(axis=1)},
        {"point": inside[:, largest], "iou": iou[:, largest]},
    )


def _objects_against(
    referents: Bools, objects: Bools, convention: Convention
) -> tuple[Floats, Floats]:
    """Of each referent (R) and object (K): the object's share within the referent, and the IoU."""
    flat = [m.reshape(len(m), -1).astype(np.float32) for m in (referents, objects)]
    both = (flat[0] @ flat[1].T).round().astype(np.int64)  # exact: counts stay below 2 ** 24
    meant, sizes = areas(referents)[:, None], areas(objects)[None, :]
    iou = intersection_over_union(both, meant + sizes - both, empty_union=convention.empty_union)
    share = np.divide(both, sizes, out=np.zeros(both.shape), where=sizes > 0)
    return share, iou
