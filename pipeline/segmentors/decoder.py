"""The top-down decoder of TRIS Stage-2: coarse to fine, with a mask head at every scale."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.layers import to_map, to_pixels


def block(channels: int, width: int) -> nn.Sequential:
    """3x3 convolution, batch norm, PReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.PReLU()
    )


class Stage(NamedTuple):
    """One stage of N texts: `maps` of M images (M, C, h, w), of which row n shows `owner[n]` (N,).

    `read` (N, C, h, w) is what the texts add to them; None: the stage reads no text.
    """

    maps: Tensor
    owner: Tensor
    read: Tensor | None = None


class TopDownDecoder(nn.Module):
    """From the coarsest stage to the finest: enlarge, concatenate the stage, one block.

    `widths` are those of the blocks, coarsest first; what exceeds the number of stages are further
    blocks at the finest one (paper: 512, 256, 128, 64, 32 for four stages). Every stage has a
    one-channel head after its last block.

    With a `sentence` width the text also enters here (ours): its embedding scales and shifts the
    channels of every stage's block, between norm and activation (FiLM, Perez et al., AAAI 2018).
    The normalised attention of the stages keeps nothing that is alike in all pixels; this is that.
    """

    def __init__(
        self, *, channels: Sequence[int], widths: Sequence[int], sentence: int | None
    ) -> None:
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
        self.modulations = nn.ModuleList(
            nn.Linear(sentence, 2 * width) for width in widths[:count] if sentence is not None
        )
        for modulation in self.modulations:
            assert isinstance(modulation, nn.Linear)
            nn.init.normal_(modulation.weight, std=0.02)  # nearly the plain block at first
            nn.init.zeros_(modulation.bias)
        head_widths = [*widths[: count - 1], widths[-1]]
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in head_widths)

    def forward(
        self, stages: Sequence[Stage], sentence: Tensor | None, *, coarse: bool
    ) -> list[Tensor]:
        """Stages of N texts, finest first, to logits (N, 1, h_i, w_i), finest first.

        Args: `sentence` (N, `sentence`), read only by a decoder made for it. Without `coarse` only
        the finest map is computed, in a list of one.
        """
        logits: list[Tensor] = []
        features: Tensor | None = None
        for level, (step, stage) in enumerate(zip(self.blocks, reversed(stages), strict=True)):
            film = self.modulations[level](sentence) if self.modulations else None
            features = _enter(step, features, stage, film)
            if coarse and level < len(stages) - 1:
                logits.append(self.heads[level](features))
        logits.append(self.heads[-1](self.further(features)))
        return logits[::-1]


def _enter(step: nn.Module, above: Tensor | None, stage: Stage, film: Tensor | None) -> Tensor:
    """The block `step` over the enlarged features `above` (N, C', ...) beside the stage.

    `film` (N, 2 * width) holds what to multiply the normalised features with, less one, and then
    what to add.

    A convolution over two groups of channels, or over a sum, is the sum of one over each part: so
    what an image's texts share is convolved once, however many they are.
    """
    assert isinstance(step, nn.Sequential)
    convolution, norm, activation = step
    assert isinstance(convolution, nn.Conv2d)
    weight, padding = convolution.weight, (1, 1)
    entering = weight.shape[1] - stage.maps.shape[1]
    shared = functional.conv2d(stage.maps, weight[:, entering:], padding=padding)
    mixed = to_map(to_pixels(shared).index_select(0, stage.owner), *shared.shape[-2:])
    if stage.read is not None:
        mixed = mixed + functional.conv2d(stage.read, weight[:, entering:], padding=padding)
    if above is not None:
        above = enlarge(above, stage.maps.shape[-2:])
        mixed = mixed + functional.conv2d(above, weight[:, :entering], padding=padding)
    features: Tensor = norm(mixed)
    if film is not None:
        scale, shift = film[..., None, None].to(features.dtype).chunk(2, dim=1)
        features = torch.addcmul(shift, features, 1 + scale)
    features = activation(features)
    return features


def enlarge(features: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear to (h, w); the very tensor when it has that size already."""
    if features.shape[-2:] == tuple(size):
        return features
    return functional.interpolate(features, tuple(size), mode="bilinear", align_corners=False)
