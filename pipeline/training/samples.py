"""What a network sees of an image, and of what is said and known of it: one sample or several.

A random choice depends on (seed, epoch, first sentence) alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.records import Expression, ImageRecord
from pipeline.training import augmentation
from pipeline.training.masks import MaskTable
from pipeline.training.negatives import Negatives
from pipeline.training.phrases import Phrases
from pipeline.training.proposals import ProposalTable
from pipeline.training.seeds import AUGMENT, generator_of, seed_of
from pipeline.training.source import ReadImage


class ImageSamples(NamedTuple):
    """What G samples of one image share, and what they do not.

    image: (H, W, 3) uint8. masks: (G, 1, H, W) or None. proposals: (P, h, w) or None. phrase_ids:
    (G, 1 + C), the text and its cues. negative_ids: (G, K).
    """

    image: Tensor
    masks: Tensor | None
    proposals: Tensor | None
    phrase_ids: NDArray[np.int64]
    negative_ids: NDArray[np.int64]


class Samples:
    """Samples, numbered as the expressions are, resized and augmented.

    Args:
        images: image_id -> the record of at least the images that the expressions name.
        size: (H, W) in pixels of what the network sees.
        phrases, negatives: of these expressions.
        photometric_strength: see `augmentation.photometric`; None: colours stay.

    For the others see `ExpressionBatches`.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        images: Mapping[int, ImageRecord],
        *,
        read_image: ReadImage,
        size: tuple[int, int],
        phrases: Phrases,
        masks: MaskTable | None,
        proposals: ProposalTable | None,
        negatives: Negatives | None,
        photometric_strength: float | None,
        seed: int,
    ) -> None:
        self._expressions = expressions
        self._images = images
        self._read_image = read_image
        self._size = size
        self._phrases = phrases
        self.masks = masks
        self._proposals = proposals
        self.negatives = negatives
        self._jitter = (
            None if photometric_strength is None else augmentation.photometric(photometric_strength)
        )
        self._seed = seed

    def of_image(self, group: NDArray[np.int64], epoch: int) -> ImageSamples:
        """These samples, all of one image, as an epoch shows them."""
        expressions = [self._expressions[sample] for sample in group]
        image_id = expressions[0].image_id
        # a copy: what a cache keeps is read-only
        pixels = torch.from_numpy(np.array(self._read_image(self._images[image_id])))
        image = augmentation.resize(pixels.permute(2, 0, 1), self._size)
        masks = None
        if self.masks:
            masks = self.masks.masks(expressions, self._size)
        proposals = None if self._proposals is None else self._proposals.of_image(image_id)
        shown = group[:, None]
        if self.negatives:
            drawn = [self.negatives.draw(int(sample), epoch) for sample in group]
            shown = np.concatenate([shown, np.stack(drawn)], axis=1)
        ids = self._phrases.ids
        keys = (AUGMENT, self._seed, epoch, expressions[0].sent_id)
        if self._must_flip(shown, keys):
            ids = self._phrases.flipped_ids
            image, *rest = augmentation.mirror(image, masks)
            masks = rest[0] if rest else None
            proposals = None if proposals is None else proposals.flip(-1)
        if self._jitter is not None:
            image, *rest = augmentation.apply(self._jitter, image, masks, seed_of(*keys))
            masks = rest[0] if rest else None
        return ImageSamples(
            image.permute(1, 2, 0), masks, proposals, ids[group], ids[shown[:, 1:], 0]
        )

    def _must_flip(self, shown: NDArray[np.int64], keys: tuple[int, ...]) -> bool:
        """Half of those whose sentences can all be mirrored: a negative must stay a negative."""
        return bool(self._phrases.can_flip[shown].all() and generator_of(*keys).random() < 0.5)
