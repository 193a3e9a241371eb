"""What IRNet learns from: cells that are surely a referent's, surely nobody's, or not to be asked.

A dense CRF of what exceeds a high threshold says foreground; background is where neither that nor
the CRF of what exceeds a low threshold says foreground (Ahn et al., CVPR 2019, and its code).

Legend: K referents, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.pseudo_labels.crf import CrfKernels, PairwiseField, unary_logits
from pipeline.pseudo_labels.irnet.losses import BACKGROUND, IGNORE
from pipeline.pseudo_labels.refiner import Pixels
from pipeline.pseudo_labels.state import Maps, Masks, ReferentState, divided_by_maximum
from pipeline.safety import InputError

Labels = NDArray[np.uint8]


def evidence_of(referent: ReferentState) -> NDArray[np.float32]:
    """One map (H, W) in [0, 1] of a referent: the mean over its sentences, over its maximum.

    Labels are of things; sentences that no refiner has joined speak of the same one.
    """
    return divided_by_maximum(referent.soft.mean(axis=0, keepdims=True))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """How maps become labels.

    Attributes:
        foreground: threshold in (0, 1) of the maps (IRNet: 0.30).
        background: threshold in (0, foreground] (IRNet: 0.05, TRIS: 0.10).
        kernels, iterations, gt_prob: of the dense CRF, see `Crf`.
    """

    foreground: float
    background: float
    kernels: CrfKernels
    iterations: int
    gt_prob: float

    def sides(self, image: Pixels, maps: Maps) -> tuple[Masks, Masks]:
        """Surely foreground and surely background (K, H, W) of each map alone; disjoint."""
        over = [maps > self.foreground, maps > self.background]
        logits = unary_logits(
            np.concatenate(over).astype(np.float32), gt_prob=self.gt_prob, threshold=0.5
        )
        field = PairwiseField(image, kernels=self.kernels)
        high, low = np.split(field.infer(logits, iterations=self.iterations) > 0.5, 2)
        return high, ~high & ~low

    def __call__(self, image: Pixels, maps: Maps) -> Labels:
        """One label map (H, W) of an image (H, W, 3) for all its referents.

        0 where every map (K, H, W), in [0, 1], says background; k + 1 where map k alone says
        foreground; 255 elsewhere. Published code labels each referent of an image apart, which
        teaches one network that the others are background.

        Raises:
            InputError: more than 254 referents.
        """
        if len(maps) >= IGNORE:
            raise InputError(f"irnet: an image has {len(maps)} referents; at most {IGNORE - 1}")
        labels = np.full(image.shape[:2], IGNORE, dtype=np.uint8)
        if not len(maps):
            return labels
        high, nobody = self.sides(image, maps)
        labels[nobody.all(axis=0)] = BACKGROUND
        alone = high.sum(axis=0) == 1
        labels[alone] = high.argmax(axis=0)[alone] + 1
        return labels
