"""CLIP's ModifiedResNet read as a pyramid: layers 1-4 at strides 4, 8, 16, 32 (or 16).

The towers are open_clip's own modules; nothing here owns a parameter.
Source: Radford et al., ICML 2021, section 2.4 (attention pooling, anti-aliased strides).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.encoders.positions import resize_positions

NATIVE_STRIDES = (4, 8, 16, 32)


def remove_last_stride(resnet: Any) -> None:
    """Make the last layer keep the resolution of the one before: stride 32 becomes 16.

    Both roads of its first block average pairs of pixels, the main one and the shortcut.
    """
    block = resnet.layer4[0]
    block.avgpool = nn.Identity()
    block.downsample[0] = nn.Identity()


def layer_channels(resnet: Any) -> tuple[int, ...]:
    """Channels of layers 1-4."""
    layers = (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)
    return tuple(layer[-1].bn3.num_features for layer in layers)


def layers(resnet: Any, images: Tensor) -> list[Tensor]:
    """(B, 3, H, W) -> layers 1-4, each (B, C_i, H // s_i, W // s_i)."""
    features = resnet.stem(images)
    levels = []
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        features = layer(features)
        levels.append(features)
    return levels


def attention_pool(pool: Any, features: Tensor) -> Tensor:
    """CLIP's attention pool of (B, C, h, w) at any h and w -> (B, embed_dim).

    Equal to open_clip's at its own grid. Only the mean token asks, as only its answer is kept:
    open_clip lets every cell ask, which costs h * w times the attention.
    """
    side = round((pool.positional_embedding.shape[0] - 1) ** 0.5)
    positions = resize_positions(
        pool.positional_embedding, (side, side), (features.shape[2], features.shape[3])
    )
    cells = features.flatten(2).permute(2, 0, 1)  # (hw, B, C)
    tokens = torch.cat([cells.mean(dim=0, keepdim=True), cells])
    tokens = tokens + positions[:, None].to(tokens.dtype)
    pooled, _ = functional.multi_head_attention_forward(
        query=tokens[:1],
        key=tokens,
        value=tokens,
        embed_dim_to_check=tokens.shape[-1],
        num_heads=pool.num_heads,
        in_proj_weight=None,
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None,
        bias_v=None,
        add_zero_attn=False,
        dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight,
        out_proj_bias=pool.c_proj.bias,
        training=pool.training,
        need_weights=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight,
        k_proj_weight=pool.k_proj.weight,
        v_proj_weight=pool.v_proj.weight,
    )
    return pooled[0]


def value_projection(pool: Any) -> tuple[Tensor, Tensor]:
    """The pool's value and output projections as one: weight (embed_dim, C), bias (embed_dim,).

    The position embedding, which differs by cell, enters with its mean over the cells.
    """
    with torch.no_grad():
        weight = pool.c_proj.weight @ pool.v_proj.weight
        place = pool.positional_embedding[1:].mean(dim=0)
        bias = pool.c_proj.weight @ pool.v_proj.bias + pool.c_proj.bias + weight @ place
    return weight, bias
