"""Pixel-word attention (TRIS Stage-2, after LAVT, Yang et al., CVPR 2022).

Legend: M images, N texts, T words, P pixels, C channels of the stage, D inner width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from pipeline.layers import PixelNorm, masked_softmax, to_map, to_pixels


class StageView(NamedTuple):
    """What needs no text: a stage (M, C, h, w), and queries and gates of its pixels (M, P, D)."""

    maps: Tensor
    query: Tensor
    gate: Tensor


class PixelWordAttention(nn.Module):
    """What each pixel reads in the words of its text, gated by the pixel; to be added to the stage.

    All 1x1 convolutions are linear layers over pixels or words.
    """

    def __init__(self, *, channels: int, word_width: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(channels, hidden), PixelNorm(hidden))
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU())
        self.key = nn.Linear(word_width, hidden)
        self.value = nn.Linear(word_width, hidden)
        self.norm = PixelNorm(hidden)
        self.out = nn.Sequential(nn.Linear(hidden, channels), nn.ReLU())
        self.temperature = hidden**-0.5

    def view(self, stage: Tensor) -> StageView:
        """The part that no text is needed for: stage (M, C, h, w)."""
        pixels = to_pixels(stage)
        return StageView(stage, self.query(pixels), self.gate(pixels))

    def forward(self, view: StageView, owner: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """What N texts add to the stages of their images `owner` (N,): (N, C, h, w).

        They are read as words (N, T, width) where `mask` (N, T); one without a word reads zeros.
        """
        query, gate = view.query.index_select(0, owner), view.gate.index_select(0, owner)
        logits = query @ self.key(words).transpose(-1, -2).to(query.dtype)
        attention = masked_softmax(logits * self.temperature, mask[:, None, :])
        value = self.value(words)
        read = self.norm(attention.to(value.dtype) @ value)
        return to_map(self.out(read * gate), *view.maps.shape[-2:])
