"""What crosses a step: the rows of the tables, and the batch that a network sees.

Everything is keyed by dataset, split, image_id, ref_id and sent_id, never by position, so that
reordering data changes nothing. The ids are plain integers; masks are COCO run lengths (``rle``:
the compressed counts, see ``pipeline.store.rle_encode``) with the ``height`` and ``width`` in
pixels that they decode to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Expression:
    """One sentence about one referent. ``text`` is what methods see (``raw`` or ``sentence``)."""

    dataset: str
    split: str
    image_id: int
    ref_id: int
    sent_id: int
    text: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image. ``file`` is relative to the dataset's image folder; the size is in pixels.

    ``split`` is the split of the referents that use the image. Where the published split cuts
    through images (RefCOCOg google), an image has one record for each of its splits.
    """

    dataset: str
    image_id: int
    file: str
    height: int
    width: int
    split: str


@dataclass(frozen=True, slots=True)
class Truth:
    """The annotated mask of a referent: only evaluation and full supervision may open these.

    ``box`` is x, y, width, height in pixels (floats); ``area`` is the mask's own pixel count.
    """

    dataset: str
    split: str
    image_id: int
    ref_id: int
    category: str
    rle: bytes
    height: int
    width: int
    box: tuple[float, float, float, float]
    area: int


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """An annotated object of an image, referred to or not (evaluation only). ``box``: see Truth."""

    dataset: str
    image_id: int
    ann_id: int
    category: str
    rle: bytes
    height: int
    width: int
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One class-agnostic mask of an image. ``rank`` 0 is the best; ``area`` in pixels."""

    dataset: str
    image_id: int
    rank: int
    rle: bytes
    height: int
    width: int
    area: int
    score: float


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """The mask a segmentor learns for an expression; ``source`` names the map or rule behind it."""

    dataset: str
    split: str
    image_id: int
    ref_id: int
    sent_id: int
    rle: bytes
    height: int
    width: int
    source: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A segmentor's mask for one expression; ``peak_x``, ``peak_y`` are pixels of the image."""

    dataset: str
    split: str
    image_id: int
    ref_id: int
    sent_id: int
    rle: bytes
    height: int
    width: int
    score: float
    peak_x: float
    peak_y: float


@dataclass
class Batch:
    """What a network sees. M images, B expressions, T tokens, K negatives, H x W pixels.

    PCNet's batches have C cues a text and P proposals an image, in h x w cells, as well.

    images: (M, 3, H, W) float32, normalised for the encoder; each may have several expressions.
    owner: (B,) int64 in [0, M): the image of each expression.
    tokens: (B, T) int64, as ``Encoder.tokenize`` gives them.
    text_ids: (B,) int64; equal text if and only if equal id.
    image_ids, ref_ids: (B,) int64, the keys of the tables.
    negatives: (B, K, T) int64 tokens of expressions of other referents of the same image (of other
        images where it has none), or None.
    masks: (B, 1, H, W) float32 in [0, 1], pseudo-labels or truth; None for a localizer.
    seed: for any randomness of the forward pass.
    cues: (B, C, T) int64 tokens of each expression's cues, coarse to fine, or None.
    proposals: (M, P, h, w) float32 in [0, 1], the share of each cell that a proposal covers, zero
        where an image has fewer; or None.
    """

    images: Tensor
    owner: Tensor
    tokens: Tensor
    text_ids: Tensor
    image_ids: Tensor
    ref_ids: Tensor
    negatives: Tensor | None
    masks: Tensor | None
    seed: int
    cues: Tensor | None = None
    proposals: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device`` (asynchronously from pinned memory)."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            images=move(self.images),
            owner=move(self.owner),
            tokens=move(self.tokens),
            text_ids=move(self.text_ids),
            image_ids=move(self.image_ids),
            ref_ids=move(self.ref_ids),
            negatives=None if self.negatives is None else move(self.negatives),
            masks=None if self.masks is None else move(self.masks),
            seed=self.seed,
            cues=None if self.cues is None else move(self.cues),
            proposals=None if self.proposals is None else move(self.proposals),
        )
