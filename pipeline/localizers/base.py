"""What TRIS and EHIN, Stage-1, have in common: pixels and sentences on one sphere, and a critic.

Legend: B rows of a batch (a text and its image), M images, N texts, T tokens, C hidden channels,
h x w the response map, P = h * w.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import losses, processes
from pipeline.encoders.face import Encoder
from pipeline.localizers.critic import Critic
from pipeline.localizers.pairs import Pairs, pairs_of
from pipeline.localizers.projection import VisualProjection
from pipeline.records import Batch

Projection = Literal["random", "clip"]


class Grouped(NamedTuple):
    """Texts by image: (M, most texts of an image, C), zeros where an image has fewer.

    Text n is `texts[owner[n], place[n]]`.
    """

    texts: Tensor
    place: Tensor


class SphereLocalizer(nn.Module, ABC):
    """Unit-length pixels and sentences, compared by inner products at a learned temperature.

    Args:
        encoder: fine-tuned with everything else, a ResNet or a vision transformer.
        critic: a frozen CLIP for the terms that ask one, or None. It is not part of the state dict.
        hidden: C, channels in which pixels and texts meet (paper: 1024).
        temperature: the logits start at cosine / temperature; its log is learned (TRIS: 0.07).
        levels, coordinates: see `VisualProjection` (paper: the last level, no coordinates).
        projection: how pixels and texts start out: `random` (paper), or `clip`: with the weights by
            which CLIP itself reads a pixel's value and a sentence (MaskCLIP, Zhou et al., ECCV
            2022), so that the first response is CLIP's own. Needs `hidden` = embed_dim.
        positives, same_image: the pairs of the response's losses, see `losses.positives`.
        focal_power, focal_floor: p and c of the focal penalty (paper: 3, 0.01).
        cosine_floor, cosine_ceiling: clamp of the critic's cosines (TRIS: 1e-4, 0.9999).
    """

    TERMS: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        *,
        encoder: Encoder,
        critic: Encoder | None,
        hidden: int,
        temperature: float,
        levels: Sequence[int],
        coordinates: bool,
        projection: Projection,
        positives: losses.PositiveRule,
        same_image: losses.SameImageRule,
        focal_power: float,
        focal_floor: float,
        cosine_floor: float,
        cosine_ceiling: float,
    ) -> None:
        super().__init__()
        if projection not in ("random", "clip"):
            raise ValueError(f"projection must be random or clip, not {projection!r}")
        self.encoder = encoder
        self.critic = None if critic is None else Critic(critic, mean=encoder.mean, std=encoder.std)
        self.visual = VisualProjection(
            channels=encoder.channels, levels=levels, hidden=hidden, coordinates=coordinates
        )
        self.text = nn.Linear(encoder.embed_dim, hidden)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if projection == "clip":
            self._start_as_clip()
        self.positives: losses.PositiveRule = positives
        self.same_image: losses.SameImageRule = same_image
        self.focal_power = focal_power
        self.focal_floor = focal_floor
        self.clamp = {"floor": cosine_floor, "ceiling": cosine_ceiling}

    @abstractmethod
    def asks_critic(self, terms: Sequence[str]) -> bool:
        """Whether any of these terms is the frozen CLIP's."""

    @property
    def terms(self) -> tuple[str, ...]:
        """The losses that `forward` computes, in order; may be changed between steps."""
        return self._terms

    @terms.setter
    def terms(self, terms: Sequence[str]) -> None:
        if set(terms) - set(self.TERMS):
            raise ValueError(f"terms must be some of {self.TERMS}, not {tuple(terms)}")
        if self.critic is None and self.asks_critic(terms):
            raise ValueError(f"a critic is needed for some of the terms {tuple(terms)}")
        self._terms = tuple(terms)

    def encode(self, images: Tensor) -> Tensor:
        """Unit-length pixel features (M, C, h, w) of images (M, 3, H, W), shared by their texts."""
        return self.visual(self.encoder.pyramid(images))

    def response_size(self, image_size: int) -> tuple[int, int]:
        """(h, w) of the responses of images of this side in pixels."""
        side = image_size // min(self.encoder.strides[level] for level in self.visual.levels)
        return side, side

    def place(self, sentence: Tensor) -> Tensor:
        """Unit-length texts (N, C) float32 of sentence embeddings (N, embed_dim)."""
        return functional.normalize(self.text(sentence).float(), dim=-1)

    def compare(self, pixels: Tensor, texts: Tensor) -> Tensor:
        """Responses (I, N, P) float32 of pixels (I, P, C) to texts (I or 1, N, C)."""
        # bfloat16 would tie neighbouring pixels, and a peak is one pixel
        with torch.autocast(pixels.device.type, enabled=False):
            return self.log_scale.exp() * (texts @ pixels.transpose(-1, -2))

    def of_own_image(self, response: Tensor, batch: Batch) -> Tensor:
        """The rows (B, P) of this process's batch, of the response (M, N, P) to all texts."""
        rows = torch.arange(len(batch.owner), device=response.device)
        return response[batch.owner, rows + processes.rows_before(batch.owner)]

    def score(self, response: Tensor, batch: Batch) -> tuple[Tensor, Pairs]:
        """Scores (M, N) of all images and texts (EHIN Eq. 14), and which of them belong together.

        Of all processes, from the response (M, N, P) of this one's images.
        """
        score = losses.focal_image_score(response, power=self.focal_power, floor=self.focal_floor)
        pairs = pairs_of(batch, rule=self.positives, same_image=self.same_image)
        return processes.gathered(score), pairs

    def judge(self, critic: Critic, response: Tensor, batch: Batch, *, negatives: bool) -> Tensor:
        """The critic's cosines (S, 1 or 1 + K) of all processes: own text, then the negatives.

        Args: `response` (B, 1, h, w), through which each row's image is seen; `negatives`: whether
            the batch's negatives are asked about as well.

        Raises: ValueError if they are, and the batch has none.
        """
        tokens = batch.tokens[:, None]
        if negatives:
            if batch.negatives is None:
                raise ValueError("a term of the critic needs a batch with negatives")
            tokens = torch.cat([tokens, batch.negatives], dim=1)
        return processes.gathered(critic.similarity(batch.images[batch.owner], response, tokens))

    def _start_as_clip(self) -> None:
        """Read pixels and sentences as CLIP does, before anything is learned here."""
        weight, bias = self.encoder.value_projection()
        hidden = self.text.weight.shape[0]
        if weight.shape[0] != hidden:
            raise ValueError(
                f"projection clip needs hidden = {weight.shape[0]}, the encoder's embedding, "
                f"not {hidden}"
            )
        with torch.no_grad():
            self.visual.start_from(weight, bias)
            self.text.weight.copy_(torch.eye(hidden))
            self.text.bias.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Take the critic along to a device or a precision; nothing else would."""
        if self.critic is not None:
            self.critic.apply_to_tensors(fn)
        return super()._apply(fn, recurse)


def grouped(texts: Tensor, owner: Tensor, *, images: int) -> Grouped:
    """Texts (N, C) of the images `owner` (N,) in [0, M), put together by image.

    What is computed of an image then serves all its texts, and nothing of it is copied.
    """
    mine = owner[:, None] == torch.arange(images, device=owner.device)
    place = mine.cumsum(dim=0)[torch.arange(len(owner), device=owner.device), owner] - 1
    filled = texts.new_zeros(images, int(mine.sum(dim=0).max()), texts.shape[-1])
    filled[owner, place] = texts
    return Grouped(filled, place)
