"""Evaluation is several times faster when the expressions of an image share its encoding.

The same viewer as in `ris segment` and `ris respond`, once over images with all their expressions,
once over pairs of an image and one expression (as published evaluation scripts do). The pairs come
in batches as large in images as ours, or as large in expressions, whichever is faster. Pictures are
in memory and seen one way round, not mirrored. Median over batches of processor time, on one
thread; the outputs must agree.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from benchmarks.rows import Row
from benchmarks.settings import THREADS
from benchmarks.world import build_world
from pipeline.config import Config
from pipeline.inference import Item, Viewer, computes_in_bf16, device_of
from pipeline.steps.inputs import by_image, expressions_of, images_of, pictures_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.segmentor_network import build_segmentor

FULL = {"images": 256}
TINY = {"images": 4}
Task = Literal["segment", "respond"]


def rows(*, images: int) -> list[Row]:
    """Milliseconds an expression of both networks, each way."""
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        config = build_world(Path(folder), train=1, held_out=images)
        items = items_of(config)
        found: list[Row] = []
        for task, name in (("segment", "segmentor"), ("respond", "localizer")):
            ours, other = measure(config, task, items)  # type: ignore[arg-type]
            found.append(
                Row(
                    claim=f"evaluation, {name}: an encoding an image, against one an expression",
                    ours=ours,
                    alternative=other,
                    unit="ms/expression",
                    ratio=other / ours,
                    at_least=1,
                )
            )
    return found


def items_of(config: Config) -> list[Item]:
    """The held-out images with all their expressions."""
    splits = config.dataset.evaluate
    images, pictures = images_of(config, splits), pictures_of(config)
    return [
        (pictures.load(images[image_id]), [expression.text for expression in group])
        for image_id, group in by_image(expressions_of(config, splits))
    ]


def measure(config: Config, task: Task, items: list[Item]) -> tuple[float, float]:
    """Processor milliseconds an expression: shared, and one encoding an expression."""
    network: nn.Module
    if task == "segment":
        network, precision = build_segmentor(config), config.segmentor.training.precision
    else:
        network = build_localizer(config, with_critic=False)
        precision = config.localizer.training.precision
    size = config.machine.evaluation_batch
    chunks = [items[start : start + size] for start in range(0, len(items), size)]
    texts = round(np.mean([sum(len(words) for _, words in chunk) for chunk in chunks]))

    def viewer(images_per_batch: int) -> Viewer:
        accelerator = config.machine.accelerator
        return Viewer(
            network,
            size=config.encoder.image_size,
            device=device_of(accelerator),
            images_per_batch=images_per_batch,
            bf16=computes_in_bf16(accelerator, precision),
            mirror=False,  # it doubles both sides alike
        )

    ours, as_many_images, as_many_texts = viewer(size), viewer(size), viewer(texts)
    times: list[tuple[float, float, float]] = []
    for number, chunk in enumerate([chunks[0], *chunks]):
        pairs: list[Item] = [(image, [text]) for image, words in chunk for text in words]
        shared, first = timed(ours, task, chunk)
        alone, second = timed(as_many_images, task, pairs)
        _, third = timed(as_many_texts, task, pairs)
        agree(shared, alone)
        if number:  # the first chunk comes twice: once to warm up
            times.append(tuple(t / len(pairs) for t in (first, second, third)))  # type: ignore[arg-type]
    medians = 1000 * np.median(times, axis=0)
    return float(medians[0]), float(medians[1:].min())


def timed(viewer: Viewer, task: Task, items: list[Item]) -> tuple[np.ndarray, float]:
    """All maps (N, h, w) of the items, and the processor seconds that they took."""
    view = viewer.segment if task == "segment" else viewer.respond
    start = time.process_time()
    maps: Iterator[np.ndarray] = view(items, total=len(items), title=task)
    found = list(maps)
    seconds = time.process_time() - start
    return np.concatenate(found), seconds


def agree(shared: np.ndarray, alone: np.ndarray) -> None:
    """The two ways differ by no more than the rounding of bfloat16."""
    scale = np.abs(alone).max()
    worst = np.abs(shared - alone).max() / scale
    assert worst < 0.1, f"shared and separate encodings differ by {worst:.3f} of the largest value"
