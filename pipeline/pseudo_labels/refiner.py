"""The face of a step from response maps to masks, and the application of a list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.pseudo_labels.state import Masks, ReferentState

Pixels = NDArray[np.uint8]
States = list[ReferentState]


class Refiner(ABC):
    """One step. Deterministic, and the states of an image depend on that image alone."""

    @abstractmethod
    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        """The referents of one image, in the same order, after this step.

        Args:
            image: (H, W, 3) uint8 RGB.
            referents: states of any number of referents, their maps of H x W.
            proposals: (P, H, W) bool, P may be 0.
        """

    def refine_batch(
        self, images: Sequence[Pixels], referents: Sequence[States], proposals: Sequence[Masks]
    ) -> list[States]:
        """Several images at once, for steps that run a network."""
        return [self.refine(*of) for of in zip(images, referents, proposals, strict=True)]


def refine_images(
    images: Sequence[Pixels],
    referents: Sequence[States],
    proposals: Sequence[Masks],
    refiners: Sequence[Refiner],
) -> list[States]:
    """Applies the refiners in their order to the referents of several images."""
    states = [list(of_image) for of_image in referents]
    for refiner in refiners:
        states = refiner.refine_batch(images, states, proposals)
    return states


def refine_image(
    image: Pixels, referents: States, proposals: Masks, refiners: Sequence[Refiner]
) -> States:
    """:func:`refine_images` for one image."""
    return refine_images([image], [referents], [proposals], refiners)[0]
