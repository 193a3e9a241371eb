"""What is known of a referent on the way from response maps to a mask.

Legend: S sentences of the referent, H W pixels of the image, M = S or 1: the number of masks, one a
sentence or one shared by all sentences (after PRMS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pipeline.safety import InputError

Maps = NDArray[np.float32]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ReferentState:
    """One referent of an image. Refiners return a new state and never write into an old one.

    Attributes:
        ref_id: key of the referent.
        sent_ids, texts: keys and words of its S sentences.
        maps: (S, H, W) float32 in [0, 1], what the localizer said; stays as it was.
        soft: (M, H, W) float32 in [0, 1], the evidence that the next refiner reads.
        mask: (M, H, W) bool, or None as long as no refiner has decided.
        source: (M,) the steps that made each mask, such as ``map/prms:12/crf``.
    """

    ref_id: int
    sent_ids: tuple[int, ...]
    texts: tuple[str, ...]
    maps: Maps
    soft: Maps
    mask: Masks | None
    source: tuple[str, ...]

    @classmethod
    def start(
        cls, *, ref_id: int, sent_ids: tuple[int, ...], texts: tuple[str, ...], maps: Maps
    ) -> ReferentState:
        """The state before any refiner: the evidence is the maps themselves.

        Raises:
            InputError: no sentence, or not one map and one text a sentence.
        """
        if not sent_ids or not len(sent_ids) == len(texts) == len(maps):
            raise InputError(
                f"referent {ref_id}: has {len(sent_ids)} sentences, {len(texts)} texts and "
                f"{len(maps)} maps; needs one of each for every sentence; run `ris respond` again"
            )
        source = ("map",) * len(maps)
        return cls(ref_id, sent_ids, texts, maps, soft=maps, mask=None, source=source)

    def after(
        self,
        step: str | tuple[str, ...],
        *,
        soft: Maps | None = None,
        mask: Masks | None = None,
    ) -> ReferentState:
        """The state after a step that made new evidence, a new mask or both.

        New evidence alone takes an old mask away, because it no longer follows from it.
        """
        count = len(self.source)
        if soft is not None and len(soft) != count:  # the step joined the sentences
            count = len(soft)
            before: tuple[str, ...] = ("map",) * count
        else:
            before = self.source
        steps = (step,) * count if isinstance(step, str) else step
        return replace(
            self,
            soft=self.soft if soft is None else soft,
            mask=mask if soft is not None or mask is not None else self.mask,
            source=tuple(f"{old}/{new}" for old, new in zip(before, steps, strict=True)),
        )

    def label(self, sentence: int) -> tuple[NDArray[np.bool_], str, float]:
        """Mask (H, W) of the sentence at this place, its source and its score.

        The score is the mean evidence inside the mask, in [0, 1]; 0 for an empty mask.

        Raises:
            InputError: no refiner of the list makes masks.
        """
        if self.mask is None:
            raise InputError(
                "pseudo_labels.refine: no step of the list makes a mask; "
                "end it with threshold, irnet, crf, proposal_snap or sam_prompt"
            )
        row = 0 if len(self.mask) == 1 else sentence
        mask = self.mask[row]
        score = float(self.soft[row][mask].mean()) if mask.any() else 0.0
        return mask, self.source[row], score


def normalised_maps(responses: NDArray[np.floating], *, height: int, width: int) -> Maps:
    """Raw responses (S, h, w) -> maps (S, height, width) in [0, 1]: TRIS's inference.

    ReLU, bilinear to the image's size, divided by its maximum. A response that is nowhere positive
    gives a map of zeros.
    """
    positive = torch.from_numpy(np.maximum(responses, 0).astype(np.float32))
    maps = functional.interpolate(
        positive[:, None], size=(height, width), mode="bilinear", align_corners=False
    )[:, 0].numpy()
    return divided_by_maximum(maps)


def divided_by_maximum(maps: Maps) -> Maps:
    """Each of (M, H, W) maps divided by its maximum; a map of zeros stays one."""
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0)
