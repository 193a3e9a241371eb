"""Prompts of an image cost less than half when they share its encoding.

The small SAM of config.yaml with random weights, on pictures of the miniature: all points of an
image asked after one look at it, against a look for every point. Median over images of processor
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.rows import Row
from benchmarks.settings import shipped
from pipeline.encoders.sam import new_sam
from pipeline.encoders.sam_prompts import SamPrompter
from pipeline.miniature import render, sample_scene
from pipeline.steps.miniature import miniature_settings
from pipeline.steps.pretrain_sam import small_shape

FULL = {"images": 40, "points": 12}
TINY = {"images": 2, "points": 2}


def rows(*, images: int, points: int) -> list[Row]:
    """Milliseconds a prompt, both ways; fails if the answers differ."""
    config = shipped()
    scene = miniature_settings(config.miniature).scene
    sam = SamPrompter(
        new_sam(small_shape(config), seed=0),
        device="cpu",
        prompts_per_batch=config.sam.prompts_per_batch,
    )

    def shared(image: np.ndarray, asked: np.ndarray) -> np.ndarray:
        sam.look_at(image)
        return sam.ask(points=asked)[0]

    def each(image: np.ndarray, asked: np.ndarray) -> np.ndarray:
        found = []
        for point in asked:
            sam.look_at(image)
            found.append(sam.ask(points=point[None])[0])
        return np.concatenate(found)

    ways: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (shared, each)
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(images):
        rng = np.random.default_rng([2, index])
        image, _ = render(sample_scene(rng, scene), rng)
        asked = rng.uniform(0, scene.canvas, (points, 2)).astype(np.float32)
        answers = []
        for way, mine in zip(ways, times, strict=True):
            start = time.process_time()
            answers.append(way(image, asked))
            mine.append((time.process_time() - start) / points)
        assert np.allclose(*answers, atol=1e-3), "the answers differ"
    ours, alternative = (1000 * float(np.median(found)) for found in times)
    return [
        Row(
            claim=f"SAM, {points} points an image: an encoding an image, against one a point",
            ours=ours,
            alternative=alternative,
            unit="ms/prompt",
            ratio=alternative / ours,
            at_least=2.0 if points > 2 else 1.0,
        )
    ]
