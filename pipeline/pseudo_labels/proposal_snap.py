"""Replaces a mask by the proposal that agrees with it best.

Legend: M masks or maps of a referent, P proposals, N = H * W pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Maps, Masks, ReferentState
from pipeline.pseudo_labels.threshold import above


def soft_iou(maps: Maps, masks: Masks) -> Maps:
    """(M, H, W) maps in [0, 1] against (P, H, W) masks -> (M, P): sum of minima over sum of maxima.

    Zero where both are empty.
    """
    a = maps.reshape(len(maps), -1).astype(np.float32)
    b = masks.reshape(len(masks), -1).astype(np.float32)
    shared = a @ b.T  # the minimum of a value in [0, 1] and a bit is their product
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


class ProposalSnap(Refiner):
    """The proposal with the best soft IoU; the old mask stays where no proposal is better.

    Without a mask so far, what stays is the map above the threshold. An empty mask stays empty:
    nothing was found, so there is nothing to complete. The evidence is kept.
    """

    def __init__(
        self,
        *,
        target: Literal["soft", "mask"],
        minimum_gain: float,
        threshold: Literal["positive"] | float,
    ) -> None:
        """
        Args:
            target: what a proposal is compared with: the evidence, or the current mask (the
                evidence where there is none).
            minimum_gain: how much higher the proposal's soft IoU with the target must be than that
                of the current mask with it. Where there is no current mask, or where it is itself
                the target, this is the least soft IoU.
            threshold: of the mask that stays if there was none, see :class:`.Threshold`.
        """
        self.target = target
        self.minimum_gain = minimum_gain
        self.threshold: Literal["positive"] | float = threshold

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        return [self._snap(state, proposals) for state in referents]

    def _snap(self, state: ReferentState, proposals: Masks) -> ReferentState:
        count = len(state.soft)
        stays = above(state.soft, self.threshold) if state.mask is None else state.mask
        reference = np.zeros(count, dtype=np.float32)
        if self.target == "mask" and state.mask is not None:
            target = state.mask.astype(np.float32)
        else:
            target = state.soft
            if state.mask is not None:
                both = np.minimum(target, stays).sum(axis=(1, 2))
                either = np.maximum(target, stays).sum(axis=(1, 2))
                reference = np.divide(both, either, out=reference, where=either > 0)
        if not len(proposals):
            return state.after("unsnapped", mask=stays)
        agreement = soft_iou(target, proposals)
        best = agreement.argmax(axis=1)
        value = agreement[np.arange(count), best]
        snaps = stays.any(axis=(1, 2)) & (value > 0) & (value - reference >= self.minimum_gain)
        mask = np.where(snaps[:, None, None], proposals[best], stays)
        steps = tuple(
            f"snap:{index}" if snap else "unsnapped"
            for index, snap in zip(best, snaps, strict=True)
        )
        return state.after(steps, mask=mask)
