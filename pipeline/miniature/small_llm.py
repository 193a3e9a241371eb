"""The miniature's own LLM: a small network of LLaMA's shape, and its loss.

Legend: B texts of a batch, T tokens, P tokens of the prompt that all texts share, D width, H heads,
V ids. Source: Touvron et al., 2023 (LLaMA): RMS norms before each part, rotary positions on
neighbouring pairs of channels, SiLU-gated feed-forward; embedding and output share their weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import processes
from pipeline.miniature.small_llm_corpus import AnswerBatch

NORM_FLOOR = 1e-5
ROTARY_BASE = 10000.0
Past = tuple[Tensor, Tensor]  # keys and values (1, H, P, D/H) of one layer


class SmallLlm(nn.Module):
    """Logits of the next token.

    Args:
        prefix: (P,) int64, the ids that every text begins with; they are computed once a batch.
        feed_forward: width between the two halves of a feed-forward part.
        seed: of the starting weights.
    """

    prefix: Tensor

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        feed_forward: int,
        prefix: Tensor,
        seed: int,
    ) -> None:
        super().__init__()
        self.heads, self.feed_forward = heads, feed_forward
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(vocabulary, width)
            nn.init.normal_(self.embedding.weight, std=width**-0.5)
            self.layers = nn.ModuleList(
                Layer(width=width, heads=heads, feed_forward=feed_forward) for _ in range(layers)
            )
        self.norm = nn.RMSNorm(width, eps=NORM_FLOOR)
        self.register_buffer("prefix", prefix, persistent=False)

    def forward(self, batch: AnswerBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits (N, V) of the N tokens of the answers, and the loss ``answer``: their
        cross-entropy, over the answers of all processes."""
        wanted = batch.wanted[:, 1:]
        targets = batch.tokens[:, 1:][wanted]
        logits = self._named(self._states(batch.tokens)[:, :-1][wanted])
        loss = functional.cross_entropy(logits.float(), targets)
        return logits, {"answer": processes.batch_mean(loss, len(targets))}

    def logits(self, tokens: Tensor) -> Tensor:
        """(B, T, V) from ids (B, T) int64 that follow the prefix."""
        return self._named(self._states(tokens))

    def _states(self, tokens: Tensor) -> Tensor:
        pasts = self._read(self.prefix[None], [None] * len(self.layers))[1]
        return self._read(tokens, pasts)[0]

    def _named(self, states: Tensor) -> Tensor:
        return functional.linear(self.norm(states), self.embedding.weight)

    def _read(self, tokens: Tensor, pasts: list[Past | None]) -> tuple[Tensor, list[Past | None]]:
        states = self.embedding(tokens)
        kept: list[Past | None] = []
        for layer, past in zip(self.layers, pasts, strict=True):
            states, own = layer(states, past)
            kept.append(own)
        return states, kept


class Layer(nn.Module):
    """Attention over what came before, then the feed-forward part, each added to its input."""

    def __init__(self, *, width: int, heads: int, feed_forward: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(width, eps=NORM_FLOOR)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.RMSNorm(width, eps=NORM_FLOOR)
        self.gate = nn.Linear(width, feed_forward, bias=False)
        self.up = nn.Linear(width, feed_forward, bias=False)
        self.down = nn.Linear(feed_forward, width, bias=False)

    def forward(self, states: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """(B, T, D), and its keys and values; ``past`` are those of the prefix before it."""
        rows, length, _ = states.shape
        start = 0 if past is None else past[0].shape[2]
        normed = self.attention_norm(states)
        query, key, value = (
            part(normed).view(rows, length, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        query, key = rotated(query, start), rotated(key, start)
        own = (key, value)
        mask = None
        if past is not None:
            key = torch.cat([past[0].expand(rows, -1, -1, -1), key], dim=2)
            value = torch.cat([past[1].expand(rows, -1, -1, -1), value], dim=2)
            seen = torch.ones(length, start + length, dtype=torch.bool, device=states.device)
            mask = seen.tril(start)
        seen_values = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None
        )
        states = states + self.output(seen_values.transpose(1, 2).reshape(rows, length, -1))
        normed = self.feed_norm(states)
        fed = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return states + fed, own


def rotated(heads: Tensor, start: int) -> Tensor:
    """(B, H, T, D/H) with each pair of neighbouring channels turned by its position's angle."""
    length, size = heads.shape[-2:]
    rates = ROTARY_BASE ** -(torch.arange(0, size, 2, device=heads.device) / size)
    angles = torch.arange(start, start + length, device=heads.device)[:, None] * rates
    # a pair is one complex number
    pairs = torch.view_as_complex(heads.float().unflatten(-1, (-1, 2)).contiguous())
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2).to(heads.dtype)
