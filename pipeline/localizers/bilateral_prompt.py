"""The bilateral prompt of TRIS (Liu et al., ICCV 2023), the block that EHIN (Eq. 4-7) repeats.

Legend: I images, J either I or 1 (broadcast over the images), N texts, T words, P pixels, C
channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.layers import PixelNorm, masked_softmax


class BilateralPrompt(nn.Module):
    """Pixels attend over texts, and each text attends over the pixels.

    Visual projections are linear (a 1x1 convolution), instance norm, ReLU; text projections
    linear, ReLU; attention is scaled by sqrt(C); the outputs are linear + instance norm, and
    linear. What comes back is what each side has read of the other, not yet weighed or added to
    anything.
    """

    def __init__(self, *, hidden: int) -> None:
        super().__init__()
        self.visual_query = nn.Sequential(nn.Linear(hidden, hidden), PixelNorm(hidden), nn.ReLU())
        self.visual_context = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), PixelNorm(2 * hidden), nn.ReLU()
        )
        self.text_query = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())
        self.text_context = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU())
        # no bias: the norm that follows would remove it
        self.visual_out = nn.Linear(hidden, hidden, bias=False)
        self.visual_norm = PixelNorm(hidden)
        self.text_out = nn.Linear(hidden, hidden)
        self.temperature = hidden**-0.5

    def read_image(self, visual: Tensor, texts: Tensor) -> Tensor:
        """What each text reads of each image: pixels (I, P, C), texts (J, N, C) -> (I, N, C)."""
        key, value = self.visual_context(visual).chunk(2, dim=-1)
        logits = self.text_query(texts) @ key.transpose(-1, -2) * self.temperature
        return self.text_out(logits.float().softmax(dim=-1).to(value.dtype) @ value)

    def read_texts(self, visual: Tensor, texts: Tensor) -> Tensor:
        """What each pixel reads of all N texts together: (I, P, C), (J, N, C) -> (I, P, C)."""
        key, value = self.text_context(texts).chunk(2, dim=-1)
        logits = self.visual_query(visual) @ key.transpose(-1, -2) * self.temperature
        read = logits.float().softmax(dim=-1).to(value.dtype) @ value
        return self.visual_norm(self.visual_out(read))

    def read_one_text(self, visual: Tensor) -> Tensor:
        """What each pixel reads of a single text, whichever it is: (I, P, C) -> (I, P, C).

        All pixels read the same, of which the instance norm leaves its bias alone.
        """
        return self.visual_norm.bias.expand_as(visual)

    def read_words(self, visual: Tensor, words: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
        """What each pixel reads of the words of one text, along one direction of the channels.

        For every pair of image and text: pixels (I, P, C), words (J, N, T, C) where `mask` (J, N,
        T), and `direction` (I, N, C), to (I, N, P) float32. The answer is the inner product of
        `direction` with an attention (P, T) times values (T, C), normalised over P. Mean and
        variance over P follow from the attention's mean and its (T, T) covariance, and the
        direction can be folded into the values, so the (I, N, P, C) reading itself, the largest
        tensor of the step, never exists.
        """
        attention, value = self._attend_words(visual, words, mask)
        with torch.autocast(visual.device.type, enabled=False):
            value, direction = value.float(), direction.float()
            centred = attention - attention.mean(dim=-2, keepdim=True)
            covariance = centred.transpose(-1, -2) @ centred / centred.shape[-2]
            variance = ((covariance @ value) * value).sum(dim=-2).clamp(min=0)
            norm = self.visual_norm
            folded = direction * norm.weight * torch.rsqrt(variance + norm.eps)
            per_word = torch.einsum("intc,inc->int", value.expand(len(folded), -1, -1, -1), folded)
            bias = (direction * norm.bias).sum(dim=-1, keepdim=True)
            return (centred @ per_word[..., None])[..., 0] + bias

    def _attend_words(self, visual: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attention over each text's words (I, N, P, T), their projected values (J, N, T, C)."""
        key, value = self.text_context(words).chunk(2, dim=-1)
        # the words of all texts as one long row of keys: one matrix product an image
        logits = self.visual_query(visual) @ key.flatten(1, 2).transpose(-1, -2) * self.temperature
        logits = logits.unflatten(-1, words.shape[1:3]).transpose(1, 2)
        return masked_softmax(logits, mask[:, :, None, :]), self.visual_out(value)
