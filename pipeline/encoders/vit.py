"""CLIP's vision transformer read as a map of patches, and a simple pyramid made from that map.

The towers are open_clip's own modules; nothing here owns a parameter.
Source: Radford et al., ICML 2021; the pyramid from the last map alone: Li et al., ECCV 2022
(ViTDet, section 3), with resampling in place of its learned up-convolutions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.encoders.attention import attention_kernel
from pipeline.encoders.positions import resize_positions

PYRAMID_SCALES = (4.0, 2.0, 1.0, 0.5)  # resolution of each level, relative to the patches


def patch_map(vit: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) -> patches after the last norm (B, width, H // p, W // p), embedding (B, D)."""
    patches = vit.conv1(images)
    batch, width, rows, columns = patches.shape
    tokens = patches.flatten(2).transpose(1, 2)
    first = vit.class_embedding.to(tokens.dtype).expand(batch, 1, width)
    positions = resize_positions(vit.positional_embedding, tuple(vit.grid_size), (rows, columns))
    tokens = torch.cat([first, tokens], dim=1) + positions.to(tokens.dtype)
    with attention_kernel(images.device):
        tokens = vit.transformer(vit.ln_pre(vit.patch_dropout(tokens)))
    tokens = vit.ln_post(tokens)
    embedding = tokens[:, 0] @ vit.proj
    return tokens[:, 1:].transpose(1, 2).reshape(batch, width, rows, columns), embedding


def pyramid_strides(patch: int) -> tuple[int, ...]:
    """Pixels a cell of each level of `resampled_pyramid`, finest first."""
    return tuple(int(patch / scale) for scale in PYRAMID_SCALES)


def resampled_pyramid(patches: Tensor) -> list[Tensor]:
    """(B, C, h, w) -> four bilinear copies at 4, 2, 1 and 1/2 times the resolution."""
    levels = []
    for scale in PYRAMID_SCALES:
        size = (max(1, int(patches.shape[2] * scale)), max(1, int(patches.shape[3] * scale)))
        same = size == tuple(patches.shape[2:])
        levels.append(
            patches
            if same
            else functional.interpolate(patches, size=size, mode="bilinear", align_corners=False)
        )
    return levels


def value_projection(vit: Any) -> tuple[Tensor, Tensor]:
    """Weight (D, width) and bias (D,) that project a patch as the class token is projected."""
    with torch.no_grad():
        return vit.proj.T.clone(), vit.proj.new_zeros(vit.proj.shape[1])
