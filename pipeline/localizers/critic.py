"""The frozen CLIP that judges whether a masked image shows what a text says (TRIS; EHIN Eq. 16)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.face import Encoder
from pipeline.encoders.text import end_positions
from pipeline.losses import cosine

# Texts are embedded by length, so many at a time whatever the batch: the kernels that a matrix
# product takes, and with them its last bits, follow its shape. A run that resumes has forgotten the
# texts that it had embedded, and would otherwise group the rest in another way.
_ROWS = 16


class Critic:
    """A frozen encoder behind one question: how alike are this masked image and these texts?

    On purpose no `nn.Module`: a module that holds one neither saves, trains nor counts its weights,
    and must pass its own `_apply` on for the critic to follow it to a device.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        """`mean` and `std` are the normalisation of the images that `similarity` will be given."""
        self.encoder = encoder.eval().requires_grad_(False)
        self._scale = [ours / its for ours, its in zip(std, encoder.std, strict=True)]
        self._shift = [
            (ours - its) / its_std
            for ours, its, its_std in zip(mean, encoder.mean, encoder.std, strict=True)
        ]
        self._texts: dict[bytes, Tensor] = {}

    def apply_to_tensors(self, function: Callable[[Tensor], Tensor]) -> None:
        """Move or convert the critic as `nn.Module._apply` does its module."""
        self.encoder._apply(function)
        self._texts.clear()

    def similarity(self, images: Tensor, response: Tensor, tokens: Tensor) -> Tensor:
        """Cosine of `images * sigmoid(up(response))` and each text.

        The product is taken of normalised images, so what is masked out turns into the critic's
        mean colour. Differentiable in `response`; never trains the critic.

        Args: `images` (B, 3, H, W); `response` (B, 1, h, w); `tokens` (B, K, T).
        Returns: (B, K) float32.
        """
        size = self.encoder.image_size
        mask = functional.interpolate(
            response.float(), images.shape[-2:], mode="bilinear", align_corners=False
        ).sigmoid()
        scale = images.new_tensor(self._scale)[:, None, None]
        shift = images.new_tensor(self._shift)[:, None, None]
        seen = (images * scale + shift) * mask
        if seen.shape[-2:] != (size, size):
            seen = functional.interpolate(seen, (size, size), mode="bilinear", align_corners=False)
        image = self.encoder.embed_images(seen)
        texts = self.embed_texts(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        return cosine(image[:, None], texts)

    @torch.no_grad()
    def embed_texts(self, tokens: Tensor) -> Tensor:
        """Sentence embeddings (N, embed_dim) float32 of (N, T) tokens, each text computed once.

        An embedding does not depend, in any bit, on the texts it is computed with, nor on those
        that were computed before. The texts of a dataset are few (120k at 512 wide are 0.25 GB), so
        all are kept.
        """
        keys = [row.tobytes() for row in tokens.cpu().numpy()]
        new = {key: row for row, key in enumerate(keys) if key not in self._texts}
        lengths = end_positions(tokens).tolist()
        for _, group in groupby(sorted(new.values(), key=lengths.__getitem__), lengths.__getitem__):
            alike = list(group)
            for start in range(0, len(alike), _ROWS):
                rows = alike[start : start + _ROWS]
                filled = rows + rows[:1] * (_ROWS - len(rows))
                # a copy: a row that is kept would keep the filling too
                found = self.encoder.sentence(tokens[filled]).float()[: len(rows)].clone()
                self._texts.update(zip((keys[row] for row in rows), found, strict=True))
        return torch.stack([self._texts[key] for key in keys])

    def __deepcopy__(self, memo: dict[int, Any]) -> Critic:
        """Copies of a network (an average of weights, say) share the one frozen critic."""
        return self
