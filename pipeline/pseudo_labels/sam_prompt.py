"""Asks SAM for the mask of what a map points at (PCNet, Table 6; Prompt-RIS).

Legend: M maps of a referent, N of an image, H W pixels, K masks that SAM answers with.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Maps, Masks

Prompt = Literal["point", "box", "mask", "point_and_mask"]
Choice = Literal["score", "first", "overlap"]
NOWHERE = -100.0  # a logit whose probability is zero in float32


class Prompter(Protocol):
    """What is asked of SAM, see `encoders.sam.SamPrompter`."""

    def look_at(self, image: Pixels) -> None: ...

    def ask(
        self,
        *,
        points: Maps | None = None,
        boxes: Maps | None = None,
        masks: Maps | None = None,
        several: bool = True,
    ) -> tuple[Maps, Maps]: ...


class SamPrompt(Refiner):
    """The mask that SAM gives for each map; a map of zeros stays without one.

    All maps of an image share one encoding of it. The evidence is kept.
    """

    def __init__(self, *, sam: Prompter, prompt: Prompt, choose: Choice, threshold: float) -> None:
        """
        Args:
            prompt: `point`, the peak of the map; `box`, around the map above the threshold; `mask`,
                the map itself; `point_and_mask`, peak and map.
            choose: of SAM's masks the one it thinks best (`score`), the `first`, or the one with
                the best soft IoU with the map (`overlap`).
            threshold: of the box, in [0, 1), as a share of the map's maximum.
        """
        self.sam = sam
        self.prompt: Prompt = prompt
        self.choose: Choice = choose
        self.threshold = threshold

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        if not referents:
            return []
        maps = np.concatenate([state.soft for state in referents])
        logits = prompted_logits(
            self.sam,
            image,
            maps,
            prompt=self.prompt,
            choose=self.choose,
            threshold=self.threshold,
        )
        ends = np.cumsum([len(state.soft) for state in referents])[:-1]
        return [
            state.after(f"sam:{self.prompt}", mask=mine > 0)
            for state, mine in zip(referents, np.split(logits, ends), strict=True)
        ]


def prompted_logits(
    sam: Prompter,
    image: Pixels,
    maps: Maps,
    *,
    prompt: Prompt,
    choose: Choice,
    threshold: float,
) -> Maps:
    """SAM's logits (N, H, W) for each of the maps (N, H, W) in [0, 1] of an image (H, W, 3).

    `NOWHERE` for a map that is nowhere positive. The other arguments: see `SamPrompt`.
    """
    answers = np.full(maps.shape, NOWHERE, dtype=np.float32)
    told = np.flatnonzero(maps.reshape(len(maps), -1).max(axis=1) > 0)
    if not len(told):
        return answers
    mine = maps[told]
    sam.look_at(image)
    found, scores = sam.ask(
        points=peaks(mine) if prompt in ("point", "point_and_mask") else None,
        boxes=boxes_above(mine, threshold) if prompt == "box" else None,
        masks=mine if prompt in ("mask", "point_and_mask") else None,
    )
    place = np.zeros(len(mine), dtype=np.int64)
    if choose == "score":
        place = scores.argmax(axis=1)
    elif choose == "overlap":
        place = overlaps(found > 0, mine).argmax(axis=1)
    answers[told] = found[np.arange(len(mine)), place]
    return answers


def peaks(maps: Maps) -> NDArray[np.float32]:
    """(N, 2) x, y of the highest pixel of each map (N, H, W); of equal ones the first by rows."""
    places = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.stack(np.divmod(places, maps.shape[2])[::-1], axis=1).astype(np.float32)


def boxes_above(maps: Maps, threshold: float) -> NDArray[np.float32]:
    """(N, 4) x, y of the first and of the last pixel above that share of a map's maximum."""
    boxes = np.empty((len(maps), 4), dtype=np.float32)
    least = threshold * maps.max(axis=(1, 2), keepdims=True)
    for box, high in zip(boxes, maps > least, strict=True):
        rows, columns = np.flatnonzero(high.any(axis=1)), np.flatnonzero(high.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1], rows[-1]
    return boxes


def overlaps(masks: Masks, maps: Maps) -> Maps:
    """(N, K) soft IoU of each map's masks (N, K, H, W) with it: sums of minima over of maxima."""
    flat, wanted = masks.reshape(*masks.shape[:2], -1), maps.reshape(len(maps), -1)
    shared = np.einsum("nkp,np->nk", flat, wanted)
    union = flat.sum(axis=2) + wanted.sum(axis=1)[:, None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
