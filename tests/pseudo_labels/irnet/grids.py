"""Edge maps of drawn pictures, and the random walk as it is written in the paper."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from pipeline.config import check, read_yaml
from pipeline.miniature import render, sample_scene
from pipeline.steps.miniature import miniature_settings
from tests.repository import ROOT


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the miniature (128, 128, 3) uint8 and its objects (N, 128, 128) bool."""
    rng = np.random.default_rng(seed)
    settings = check(read_yaml(ROOT / "config.yaml")).miniature
    return render(sample_scene(rng, miniature_settings(settings).scene), rng)


def picture_edges(seed: int, *, crop: tuple[int, int] = (32, 32)) -> np.ndarray:
    """Colour edges in [0, 1] of a drawn picture at a quarter of its size, float32."""
    image, _ = drawn(seed)
    colour = ndimage.gaussian_filter(image / 255.0, (1, 1, 0))
    steps = np.sqrt(sum((ndimage.sobel(colour, axis) ** 2).sum(axis=-1) for axis in (0, 1)))
    cells = steps.reshape(32, 4, 32, 4).max(axis=(1, 3))[: crop[0], : crop[1]]
    return np.clip(cells / np.quantile(cells, 0.97), 0, 1).astype(np.float32)


def dense_walk(
    maps: np.ndarray, edge: np.ndarray, *, radius: int, beta: float, exp_times: int
) -> np.ndarray:
    """Pair by pair, normalised by columns and squared, in double precision."""
    height, width = edge.shape
    affinity = np.eye(height * width)
    cells = [divmod(cell, width) for cell in range(height * width)]
    for i, (y, x) in enumerate(cells):
        for j, (v, u) in enumerate(cells[:i]):
            dy, dx = v - y, u - x
            if dy * dy + dx * dx >= radius * radius:
                continue
            rows, columns = np.mgrid[min(y, v) : max(y, v) + 1, min(x, u) : max(x, u) + 1]
            distance = abs(dy * (columns - x) - dx * (rows - y)) / np.hypot(dy, dx)
            near = distance < 1 - 1e-9
            affinity[i, j] = affinity[j, i] = 1.0 - edge[rows[near], columns[near]].max()
    transition = affinity**beta
    transition /= transition.sum(axis=0, keepdims=True)
    for _ in range(exp_times):
        transition = transition @ transition
    start = (maps * (1.0 - edge)).reshape(len(maps), -1)
    return (start @ transition).reshape(maps.shape)
