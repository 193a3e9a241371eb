"""Pixel-word attention (TRIS Stage-2, after LAVT, Yang et al., CVPR 2022).

Legend: M images, N texts, T words, P pixels, C channels of the stage, D inner width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from pipeline.layers import PixelNorm, masked_softmax, to_map, to_pixels


class StageView(NamedTuple):
    """What needs no text: pixels of the stage (M, P, C), their queries and gates (M, P, D)."""

    pixels: Tensor
    query: Tensor
    gate: Tensor
    size: tuple[int, int]

    def of(self, owner: Tensor) -> StageView:
        """One row a text: the rows `owner` (N,)."""
        return StageView(
            self.pixels.index_select(0, owner),
            self.query.index_select(0, owner),
            self.gate.index_select(0, owner),
            self.size,
        )


class PixelWordAttention(nn.Module):
    """Each pixel attends over the words of its text, is gated by what it read, and added to itself.

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
        height, width = stage.shape[-2:]
        return StageView(pixels, self.query(pixels), self.gate(pixels), (height, width))

    def forward(self, view: StageView, words: Tensor, mask: Tensor) -> Tensor:
        """Stages (N, C, h, w) of N texts after reading words (N, T, width) where `mask` (N, T).

        A text without a single word reads zeros.
        """
        logits = view.query @ self.key(words).transpose(-1, -2).to(view.query.dtype)
        attention = masked_softmax(logits * self.temperature, mask[:, None, :])
        value = self.value(words)
        read = self.norm(attention.to(value.dtype) @ value)
        return to_map(view.pixels + self.out(read * view.gate), *view.size)
