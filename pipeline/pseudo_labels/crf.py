"""Dense CRF (Krahenbuhl and Koltun, NeurIPS 2011) that sharpens masks along the image's edges.

Two labels and two Potts kernels, as TRIS and IRNet use it: a Gaussian of position and a bilateral
one of position and colour. The kernels depend on the image alone, so they are built once an image.
The two-label mean field needs one filtered channel a map: with Q the probability of foreground,

    log(Q / (1 - Q))  <-  u + 2 sum_k w_k K_k (Q - 1/2),

u the log odds of the unary. All maps of an image go through the filter together, as the channels of
one matrix, beside a channel that is 1/2 everywhere.

Legend: R maps, C channels, H W pixels, N = H * W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydensecrf.densecrf import DenseCRF2D

from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Maps, Masks, ReferentState
from pipeline.pseudo_labels.threshold import above

_LANES = 4  # the library filters four channels at a time; a multiple avoids its slow copy


@dataclass(frozen=True, slots=True)
class CrfKernels:
    """Widths and weights of the two kernels.

    gaussian_sxy, bilateral_sxy: standard deviation in pixels; bilateral_srgb: in units of 0..255;
    gaussian_compat, bilateral_compat: weight w of each kernel.
    """

    gaussian_sxy: float
    gaussian_compat: float
    bilateral_sxy: float
    bilateral_srgb: float
    bilateral_compat: float


class PairwiseField:
    """The kernels of one image, built once and used for any number of maps."""

    def __init__(self, image: Pixels, *, kernels: CrfKernels) -> None:
        """``image``: (H, W, 3) uint8 RGB."""
        self.height, self.width = image.shape[:2]
        self._field = DenseCRF2D(self.width, self.height, _LANES)
        self._field.addPairwiseGaussian(sxy=kernels.gaussian_sxy, compat=kernels.gaussian_compat)
        self._field.addPairwiseBilateral(
            sxy=kernels.bilateral_sxy,
            srgb=kernels.bilateral_srgb,
            rgbim=np.array(image, dtype=np.uint8, order="C"),  # the library wants its own copy
            compat=kernels.bilateral_compat,
        )

    def infer(self, logits: Maps, *, iterations: int) -> Maps:
        """Mean field from unary ``logits`` (R, H, W) to foreground probabilities (R, H, W).

        ``logits``: log of the odds of foreground. The result equals that of the library's own
        two-label inference up to float32 rounding (about 1e-6), and bit by bit that of a new
        field of the same image for the same maps.
        """
        count = len(logits)
        channels = -(-(count + 1) // _LANES) * _LANES
        against = np.exp(-logits.reshape(count, -1).T, dtype=np.float32, order="C")  # (N, R)
        # A field without kernels lends the library's matrix type in the wanted width.
        blank = DenseCRF2D(self.width, self.height, channels)
        matrix, spare, other_spare = blank.startInference()
        values = np.asarray(matrix).T  # (N, C), a view: writing it writes the library's matrix
        values[:, count + 1 :] = 0
        constant, maps = values[:, :1], values[:, 1 : count + 1]
        odds = against.copy()  # of background
        np.divide(1, 1 + odds, out=maps)
        for _ in range(iterations):
            constant[...] = 0.5
            # Leaves exp(filtered) up to one factor a pixel, which the constant channel shares.
            self._field.stepInference(matrix, spare, other_spare)
            np.divide(constant, maps, out=odds)
            odds *= odds
            odds *= against
            odds += 1
            np.divide(1, odds, out=maps)
        return np.ascontiguousarray(maps.T).reshape(count, self.height, self.width)


def unary_logits(probability: Maps, *, gt_prob: float, threshold: float) -> Maps:
    """Evidence in [0, 1] -> log odds of foreground, from -g to g with g = log(p / (1 - p)).

    The probability runs in straight lines through (0, 1 - gt_prob), (threshold, 1/2) and
    (1, gt_prob), so that a mask of zeros and ones gives pydensecrf's ``unary_from_labels``.
    """
    share = np.interp(probability, (0, threshold, 1), (1 - gt_prob, 0.5, gt_prob))
    return np.log(share / (1 - share)).astype(np.float32)


class Crf(Refiner):
    """The mask of each referent after mean-field inference; one kernel build an image."""

    def __init__(
        self,
        *,
        iterations: int,
        kernels: CrfKernels,
        unary: Literal["labels", "soft"],
        gt_prob: float,
        threshold: float,
        keep_probability: bool,
    ) -> None:
        """
        Args:
            iterations: mean-field steps.
            kernels: widths and weights.
            unary: ``labels`` trusts the current mask, or where there is none the evidence above
                ``threshold`` of its maximum, with ``gt_prob``; ``soft`` reads the evidence itself,
                with even odds at ``threshold``.
            gt_prob: probability in (0.5, 1) that the unary gives to a certain pixel.
            threshold: in (0, 1).
            keep_probability: the new evidence is the CRF's probability of foreground; otherwise the
                evidence stays.
        """
        self.iterations = iterations
        self.kernels = kernels
        self.unary = unary
        self.gt_prob = gt_prob
        self.threshold = threshold
        self.keep_probability = keep_probability

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        if not referents:
            return []
        field = PairwiseField(image, kernels=self.kernels)
        logits = np.concatenate([self._unary(state) for state in referents])
        probability = field.infer(logits, iterations=self.iterations)
        ends = np.cumsum([len(state.soft) for state in referents])[:-1]
        return [
            state.after(
                f"crf:{self.unary}", soft=part if self.keep_probability else None, mask=part > 0.5
            )
            for state, part in zip(referents, np.split(probability, ends), strict=True)
        ]

    def _unary(self, state: ReferentState) -> Maps:
        if self.unary == "soft":
            evidence = state.soft
        else:
            labels = above(state.soft, self.threshold) if state.mask is None else state.mask
            evidence = labels.astype(np.float32)
        return unary_logits(evidence, gt_prob=self.gt_prob, threshold=self.threshold)
