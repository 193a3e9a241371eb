"""A mask is where the map is high: TRIS's inference rule."""

from __future__ import annotations

from typing import Literal

from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Maps, Masks


def above(soft: Maps, threshold: Literal["positive"] | float) -> Masks:
    """Where (M, H, W) maps exceed a share of their own maximum, or zero (``positive``).

    A map of zeros gives an empty mask whatever the threshold.
    """
    if threshold == "positive":
        return soft > 0
    return soft > threshold * soft.max(axis=(1, 2), keepdims=True)


class Threshold(Refiner):
    """Keeps the evidence and sets the mask."""

    def __init__(self, *, threshold: Literal["positive"] | float) -> None:
        """``threshold``: ``positive`` or a share in [0, 1) of the map's maximum."""
        self.threshold: Literal["positive"] | float = threshold

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        return [
            state.after("threshold", mask=above(state.soft, self.threshold)) for state in referents
        ]
