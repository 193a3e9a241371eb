"""CLIP's text transformer read token by token, on as many positions as the batch needs.

The tower is open_clip's own CLIP module; nothing here owns a parameter.
Source: Radford et al., ICML 2021, section 2.4 (causal text transformer, end-of-text feature).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.attention import attention_kernel


def end_positions(tokens: Tensor) -> Tensor:
    """(N,) position of the end token, which has the largest id of all."""
    return tokens.argmax(dim=-1)


def real_tokens(tokens: Tensor) -> Tensor:
    """(N, T) bool: True from the start token to the end token."""
    return torch.arange(tokens.shape[1], device=tokens.device) <= end_positions(tokens)[:, None]


def token_features(clip: Any, tokens: Tensor) -> Tensor:
    """(N, T) tokens -> (N, L, width) after the last norm, L <= T the longest text of the batch.

    Attention is causal, so what follows the longest text changes nothing before it; the position
    embedding and the causal mask are cut to the same length.
    """
    length = int(end_positions(tokens).max()) + 1
    dtype = clip.transformer.get_cast_dtype()
    features = clip.token_embedding(tokens[:, :length]).to(dtype)
    features = features + clip.positional_embedding[:length].to(dtype)
    with attention_kernel(tokens.device):
        features = clip.transformer(features, attn_mask=clip.attn_mask[:length, :length])
    return clip.ln_final(features)


def end_features(features: Tensor, tokens: Tensor) -> Tensor:
    """(N, L, width) token features -> (N, width) at each text's end token."""
    return features[torch.arange(len(tokens), device=tokens.device), end_positions(tokens)]


def padded(features: Tensor, mask: Tensor) -> Tensor:
    """(N, L, width) -> (N, T, width), zero wherever the (N, T) mask is False."""
    missing = mask.shape[1] - features.shape[1]
    return functional.pad(features, (0, 0, 0, missing)) * mask[..., None]
