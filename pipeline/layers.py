"""The few layers that localizers and segmentors share.

Pixels are kept pixel-major, `(..., P, C)` with `P = h * w`: a 1x1 convolution is then a plain
matrix product, and a channels-last feature map needs no copy to get there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PixelNorm(nn.Module):
    """Affine instance norm of pixel-major features: each channel over the pixels of one image.

    The same function as `nn.InstanceNorm2d(channels, affine=True)`, but a map of one pixel is
    allowed (it becomes the bias) and the statistics are float32 under autocast.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = 1e-5  # torch's own for instance norm; a guard against flat maps, not a tunable

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise `(..., P, C)` over P; float32 out."""
        pixels = pixels.float()
        # torch.var_mean is several times slower over a dimension that is not the last
        centred = pixels - pixels.mean(dim=-2, keepdim=True)
        variance = centred.square().mean(dim=-2, keepdim=True)
        return centred * (self.weight * torch.rsqrt(variance + self.eps)) + self.bias


def masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension of `logits` where `mask` (broadcastable) is true; float32.

    Masked entries are exactly 0; a row with nothing left is all 0 instead of NaN.
    """
    logits = logits.float()
    weights = torch.softmax(logits.masked_fill(~mask, torch.finfo(logits.dtype).min), dim=-1)
    return weights * mask


def trim_words(words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cut words (N, T, C) and their mask (N, T) to the longest text: nothing attends to padding."""
    length = int(mask.sum(dim=1).max())
    return words[:, :length], mask[:, :length]


def to_pixels(features: Tensor) -> Tensor:
    """`(B, C, h, w)` to pixel-major `(B, h*w, C)`; no copy when channels-last."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def to_map(pixels: Tensor, height: int, width: int) -> Tensor:
    """Pixel-major `(B, h*w, C)` to `(B, C, h, w)`, channels-last in memory."""
    return pixels.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def coordinate_grid(height: int, width: int, *, like: Tensor) -> Tensor:
    """x and y of pixel centres, `(h*w, 2)`, each in (-1, 1) with 0 in the middle."""
    x = (torch.arange(width, device=like.device) * 2 + 1) / width - 1
    y = (torch.arange(height, device=like.device) * 2 + 1) / height - 1
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=-1)


def padded_rows(rows: int) -> int:
    """The rows to which a batch of a varying number of texts is filled: eight sizes an octave.

    The kernels' library keeps what it prepared for every shape it met (20 MiB each with the
    miniature's segmentor), so memory would grow with the number of batches.
    """
    step: int = 1 << max(rows.bit_length() - 4, 0)
    return -(-rows // step) * step
