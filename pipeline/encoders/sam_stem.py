"""Convolutions in the place of a ViT's patch embedding, for a SAM that learns in minutes.

Source: Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


class ConvolutionStem(nn.Module):
    """From pixels to patches by halving: 3 x 3 convolutions, each with batch norm and ReLU.

    Args:
        patch_size: a power of two, at least 4: pixels of a patch's side.
        width: channels of a patch.
        stem_width: channels after the first halving; they double, up to `width`.
    """

    def __init__(self, *, patch_size: int, width: int, stem_width: int) -> None:
        super().__init__()
        halvings = patch_size.bit_length() - 1
        inner = [min(stem_width << step, width) for step in range(halvings - 1)]
        layers = []
        for step, (before, after) in enumerate(pairwise([3, *inner, width])):
            layers += _normed(before, after, stride=2)
            if step:
                layers += _normed(after, after, stride=1)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, width, kernel_size=1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, S / patch_size, S / patch_size, width), as segment_anything's own."""
        patches: Tensor = self.layers(images)
        return patches.permute(0, 2, 3, 1)


def _normed(before: int, after: int, *, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
