"""How well a SAM segments objects whose masks are known: by points, boxes and proposals."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from pipeline.encoders.sam_prompts import SamPrompter
from pipeline.metrics import overlaps
from pipeline.miniature.mask_scenes import MaskScenes
from pipeline.miniature.small_sam import box_of, random_point

Masks = NDArray[np.bool_]
Scene = tuple[NDArray[np.uint8], Masks]  # an image (H, W, 3) and its K >= 1 objects (K, H, W)


BLUR = 4.0  # px, the standard deviation: about a cell of a response map


def scenes_with_masks(scenes: MaskScenes) -> Iterable[Scene]:
    """Each image with the masks of its objects."""
    for image, labels in zip(scenes.images, scenes.labels, strict=True):
        yield image, np.stack([labels == label for label in range(1, int(labels.max()) + 1)])


def prompted_quality(sam: SamPrompter, scenes: Iterable[Scene], *, seed: int) -> dict[str, float]:
    """Mean IoU over all objects, in percent, of what a SAM answers to prompts about them.

    Keys: `images`, `objects`, `point` (a random pixel of the object; of three masks the one with
    the highest predicted IoU), `centre` (the pixel farthest from the outline), `best_of_three` (of
    the random point, by the truth), `first` (its first mask), `box`, `map` (a blurred mask and its
    peak).
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    images = 0
    for image, masks in scenes:
        sam.look_at(image)
        rows = np.arange(len(masks))
        at_random = np.stack([random_point(mask, rng) for mask in masks]).astype(np.float32)
        logits, scores = sam.ask(points=at_random)
        each = np.stack([_iou(logits[:, k] > 0, masks) for k in range(logits.shape[1])], axis=1)
        central = np.stack([_centre(mask) for mask in masks]).astype(np.float32)
        of_centre, scores_of_centre = sam.ask(points=central)
        boxes = np.stack([box_of(mask) for mask in masks])
        of_box, _ = sam.ask(boxes=boxes, several=False)
        blurred = np.stack([gaussian_filter(mask.astype(np.float32), BLUR) for mask in masks])
        of_map, scores_of_map = sam.ask(points=central, masks=blurred)
        measured = {
            "point": each[rows, scores.argmax(axis=1)],
            "centre": _iou(of_centre[rows, scores_of_centre.argmax(axis=1)] > 0, masks),
            "best_of_three": each.max(axis=1),
            "first": each[:, 0],
            "box": _iou(of_box[:, 0] > 0, masks),
            "map": _iou(of_map[rows, scores_of_map.argmax(axis=1)] > 0, masks),
        }
        for name, values in measured.items():
            found.setdefault(name, []).extend(float(value) for value in values)
        images += 1
    means = {name: round(100 * float(np.mean(values)), 2) for name, values in found.items()}
    return {"images": images, "objects": len(found.get("point", [])), **means}


def proposal_quality(
    propose: Callable[[NDArray[np.uint8]], list[tuple[Masks, float]]], scenes: Iterable[Scene]
) -> dict[str, float]:
    """How much of the objects is among the proposals: the oracle's figures, in percent.

    Keys: `oracle` (mean IoU of an object and the best proposal), `recall_50` and `recall_70`
    (objects with a proposal of an IoU above 0.5, 0.7), `proposals` (mean number an image).
    """
    best: list[float] = []
    counts: list[int] = []
    for image, masks in scenes:
        proposed = propose(image)
        counts.append(len(proposed))
        best += [max((_one(mask, other) for other, _ in proposed), default=0.0) for mask in masks]
    values = np.array(best)
    return {
        "oracle": round(100 * float(values.mean()), 2),
        "recall_50": round(100 * float((values > 0.5).mean()), 2),
        "recall_70": round(100 * float((values > 0.7).mean()), 2),
        "proposals": round(float(np.mean(counts)), 2),
    }


def _iou(predictions: Masks, truths: Masks) -> NDArray[np.float64]:
    """(K,) of pairs (K, H, W)."""
    shared, union = overlaps(predictions, truths)
    return shared / np.maximum(union, 1)


def _one(prediction: Masks, truth: Masks) -> float:
    return float(_iou(prediction[None], truth[None])[0])


def _centre(mask: Masks) -> NDArray[np.int64]:
    """x, y of the pixel of a mask (H, W) that is farthest from its outline and the border."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.array(np.unravel_index(depth.argmax(), mask.shape)[::-1])
