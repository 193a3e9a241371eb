"""Learned position grids at other image sizes than they were trained for."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


@lru_cache(maxsize=32)
def _resampling(old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(new cells, old cells): each new cell's bicubic weights of the old cells."""
    basis = torch.eye(old[0] * old[1]).reshape(1, -1, *old)
    resampled = functional.interpolate(
        basis, size=new, mode="bicubic", antialias=True, align_corners=False
    )
    return resampled.reshape(old[0] * old[1], -1).t().contiguous()


def resize_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Position embeddings for a grid of `new` cells.

    A product with fixed weights, not `interpolate`: its gradient is deterministic on a GPU too.

    Args:
        positions: (1 + old cells, C); the first row belongs to the class or mean token.
        old, new: rows and columns of the grids.

    Returns:
        (1 + new cells, C); `positions` itself when the grids are equal.
    """
    if old == new:
        return positions
    weights = _resampling(old, new).to(positions)
    return torch.cat([positions[:1], weights @ positions[1:]])
