"""The top-down decoder of TRIS Stage-2: coarse to fine, with a mask head at every scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def block(channels: int, width: int) -> nn.Sequential:
    """3x3 convolution, batch norm, PReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU()
    )


class TopDownDecoder(nn.Module):
    """From the coarsest stage to the finest: enlarge, concatenate the stage, one block.

    `widths` are those of the blocks, coarsest first; what exceeds the number of stages are further
    blocks at the finest one (paper: 512, 256, 128, 64, 32 for four stages). Every stage has a
    one-channel head after its last block.
    """

    def __init__(self, *, channels: Sequence[int], widths: Sequence[int]) -> None:
        """`channels` of the stages, finest first, as an encoder lists them."""
        super().__init__()
        count = len(channels)
        if len(widths) < count:
            raise ValueError(
                f"widths must have at least one number for each of the {count} pyramid levels, "
                f"not {len(widths)}"
            )
        entering = [0, *widths[: count - 1]]
        self.blocks = nn.ModuleList(
            block(above + own, width)
            for above, own, width in zip(entering, reversed(channels), widths, strict=False)
        )
        self.further = nn.Sequential(
            *(block(wide, narrow) for wide, narrow in pairwise(widths[count - 1 :]))
        )
        head_widths = [*widths[: count - 1], widths[-1]]
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in head_widths)

    def forward(self, stages: Sequence[Tensor], *, coarse: bool) -> list[Tensor]:
        """Stages (N, C_i, h_i, w_i), finest first, to logits (N, 1, h_i, w_i), finest first.

        Without `coarse` only the finest map is computed, in a list of one.
        """
        logits: list[Tensor] = []
        features: Tensor | None = None
        for level, (step, stage) in enumerate(zip(self.blocks, reversed(stages), strict=True)):
            if features is not None:
                features = torch.cat([enlarge(features, stage.shape[-2:]), stage], dim=1)
            features = step(stage if features is None else features)
            if coarse and level < len(stages) - 1:
                logits.append(self.heads[level](features))
        logits.append(self.heads[-1](self.further(features)))
        return logits[::-1]


def enlarge(features: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear to (h, w); the very tensor when it has that size already."""
    if features.shape[-2:] == tuple(size):
        return features
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=False)
