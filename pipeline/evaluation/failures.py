"""What went wrong with an expression, told from the annotated objects of its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import Bools, areas

KINDS: tuple[str, ...] = ("correct", "distractor", "background", "part", "spill")
CORRECT_IOU = 0.5


def failure_kind(
    prediction: Bools, truth: Bools, objects: Bools, *, peak: tuple[int, int] | None
) -> str:
    """The kind of one case; masks (H, W), objects (K, H, W), the peak as x, y pixels.

    correct: IoU with the truth of at least 0.5 (or nothing predicted where nothing is meant).
    Otherwise the peak says which thing was found: within the truth it is the right one, and the
    prediction is a ``part`` of it (smaller) or a ``spill`` (at least as large); within another
    object it is a ``distractor``; within no object it is ``background``. Where there is no peak,
    the prediction's best overlap (IoU, of the truth and the objects) takes its place.
    """
    predicted = np.count_nonzero(prediction)
    meant = np.count_nonzero(truth)
    both = np.count_nonzero(prediction & truth)
    union = predicted + meant - both
    if (union == 0) or (meant and both >= CORRECT_IOU * union):
        return "correct"
    if peak is None:
        found, elsewhere = _best_overlap(prediction, truth, objects)
    else:
        x, y = peak
        found, elsewhere = bool(truth[y, x]), bool(objects[:, y, x].any())
    if found:
        return "part" if predicted < meant else "spill"
    return "distractor" if elsewhere else "background"


def _best_overlap(prediction: Bools, truth: Bools, objects: Bools) -> tuple[bool, bool]:
    """Is the best overlap with the truth, is it with another object? Both False if with none."""
    candidates = np.concatenate([truth[None], objects])
    inside = _inside(candidates, prediction)
    if not inside.any():
        return False, False
    unions = areas(candidates) + np.count_nonzero(prediction) - inside
    # The truth is among the objects too; of equals the first, the truth itself, is taken.
    best = int((inside / unions).argmax())
    return best == 0, best > 0


def _inside(masks: Bools, region: Bools) -> NDArray[np.int64]:
    return areas(masks & region)
