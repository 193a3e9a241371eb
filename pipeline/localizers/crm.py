"""The conditional referring module of PCNet (section 3.2): one stage of progressive comprehension.

Legend: I images, J either I or 1 (broadcast over the images), N texts, P pixels, C channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.layers import PixelNorm, masked_softmax

Modulation = Literal["none", "add", "tta", "vta_add", "vta_tta"]
MODULATIONS: tuple[Modulation, ...] = ("none", "add", "tta", "vta_add", "vta_tta")


class CrossAttention(nn.Module):
    """What queries read of a context, through an MLP (the first term of Eq. 2 and of Eq. 3).

    Both sides are normalised before they are projected: unit-length features would give attention
    so flat that it hardly learns. Pixels as everywhere in TRIS by an instance norm, texts by a
    layer norm. The last layer of the MLP starts at zero, so that a stage starts out as its input.
    """

    def __init__(self, *, hidden: int, of_pixels: bool) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden))
        self.context_norm = PixelNorm(hidden) if of_pixels else nn.LayerNorm(hidden)
        self.context = nn.Linear(hidden, 2 * hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), _started_at_zero(nn.Linear(hidden, hidden))
        )
        self.temperature = hidden**-0.5

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (J, N, C) of a context (I, K, C) to (I, N, C).

        `mask`: (N, K), which part of the context each query reads, none of them nothing; None: all.
        """
        key, value = self.context(self.context_norm(context)).chunk(2, dim=-1)
        logits = (self.query(queries) @ key.transpose(-1, -2) * self.temperature).float()
        weights = logits.softmax(dim=-1) if mask is None else masked_softmax(logits, mask)
        return self.mlp(weights.to(value.dtype) @ value)

    def read_own(self, context: Tensor) -> Tensor:
        """What query n reads of the n-th of a context (I, N, C) alone, whatever it asks."""
        value = self.context(self.context_norm(context)).chunk(2, dim=-1)[1]
        return self.mlp(value)


class TextToVisual(nn.Module):
    """What each pixel reads of the texts, as the visual half of TRIS's bilateral prompt.

    PCNet names this attention without writing it out. A single text, as at inference, tells all
    pixels the same, which the instance norm turns into its bias.
    """

    def __init__(self, *, hidden: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(hidden, hidden), PixelNorm(hidden), nn.ReLU())
        self.context = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.ReLU())
        # no bias: the norm that follows would remove it
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.norm = PixelNorm(hidden)
        self.temperature = hidden**-0.5

    def forward(self, pixels: Tensor, texts: Tensor) -> Tensor:
        """Pixels (I, P, C) of all N texts (J, N, C) together: (I, P, C)."""
        key, value = self.context(texts).chunk(2, dim=-1)
        logits = self.query(pixels) @ key.transpose(-1, -2) * self.temperature
        return self.norm(self.out(logits.float().softmax(dim=-1).to(value.dtype) @ value))

    def read_one(self, pixels: Tensor) -> Tensor:
        """Pixels (I, P, C) of a single text, whichever it is."""
        return self.norm.bias.expand_as(pixels)


class ConditionalReferring(nn.Module):
    """One CRM: the referring embeddings modulated by a cue each, and pixels that follow them.

    Args:
        hidden: C.
        modulation: of the referring embedding Q_n by the cue q_n (Table 4). `vta_tta`: Eq. 2, the
            cue reads the pixels, then Eq. 3, the embedding reads the cues; `vta_add`: Eq. 2, then
            their sum; `tta`: Eq. 3 of the cue as it is; `add`: the sum of both; `none`: the
            embedding as it is, so that the module is off.
        visual: weight of what the pixels read of the texts (TRIS: 0.1); 0: nothing of it is there.
    """

    def __init__(self, *, hidden: int, modulation: Modulation, visual: float) -> None:
        super().__init__()
        if modulation not in MODULATIONS:
            raise ValueError(f"modulation must be one of {MODULATIONS}, not {modulation!r}")
        self.modulation: Modulation = modulation
        sees = modulation in ("vta_add", "vta_tta")
        reads = modulation in ("tta", "vta_tta")
        self.cue_of_pixels = CrossAttention(hidden=hidden, of_pixels=True) if sees else None
        self.text_of_cues = CrossAttention(hidden=hidden, of_pixels=False) if reads else None
        self.pixels_of_texts = TextToVisual(hidden=hidden) if visual else None
        self.visual = visual

    def forward(
        self, pixels: Tensor, texts: Tensor, cues: Tensor, *, readable: Tensor | None, alone: bool
    ) -> tuple[Tensor, Tensor]:
        """One stage.

        Args:
            pixels: V_n (I, P, C).
            texts, cues: Q_n and q_n, (J, N, C) each; cue n is that of text n.
            readable: (N, N) bool, which cues each text reads, its own among them; None: that alone.
            alone: whether every text has the pixels to itself, as at inference.

        Returns: V_{n+1} (I, P, C) and Q_{n+1} (J or I, N, C), float32.
        """
        texts = self._modulated(pixels, texts, cues, readable)
        if self.pixels_of_texts is not None:
            read = self.pixels_of_texts.read_one(pixels) if alone else None
            read = self.pixels_of_texts(pixels, texts) if read is None else read
            pixels = pixels + self.visual * read.float()
        return pixels, texts

    def _modulated(
        self, pixels: Tensor, texts: Tensor, cues: Tensor, readable: Tensor | None
    ) -> Tensor:
        if self.modulation == "none":
            return texts
        if self.cue_of_pixels is not None:
            cues = cues + self.cue_of_pixels(cues, pixels, None).float()
        if self.text_of_cues is None:
            return texts + cues
        read = (
            self.text_of_cues.read_own(cues)
            if readable is None
            else self.text_of_cues(texts, cues, readable)
        )
        return texts + read.float()


def readable_cues(
    text_ids: Tensor, image_ids: Tensor, *, negatives: int | Literal["all"], seed: int
) -> Tensor:
    """(N, N) bool: its own cue for each text, and those of some texts of other images (A.3).

    Args:
        text_ids, image_ids: (N,) integers; a text equal to one's own is no negative of it.
        negatives: L, how many others a text reads, drawn from `seed`, or all (paper).
    """
    other = (image_ids[:, None] != image_ids) & (text_ids[:, None] != text_ids)
    own = torch.eye(len(text_ids), dtype=torch.bool, device=other.device)
    if negatives == "all":
        return own | other
    return own | drawn(other, negatives, seed=seed)


def drawn(allowed: Tensor, count: int, *, seed: int) -> Tensor:
    """Of `allowed` (N, K) bool, at most `count` true in every row, drawn from `seed`."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(allowed.shape, generator=generator).to(allowed.device)
    order = order.masked_fill(~allowed, -1)
    chosen = order.topk(min(count, allowed.shape[1]), dim=1).indices
    return torch.zeros_like(allowed).scatter(1, chosen, True) & allowed


def unit(features: Tensor) -> Tensor:
    """Unit length over the last dimension, float32."""
    return functional.normalize(features.float(), dim=-1)


def _started_at_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
