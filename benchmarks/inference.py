"""What a sentence costs EHIN's localizer and TRIS's once they are trained, in one run.

Two sizes: the networks of config.yaml, and those of the papers (CLIP's RN50, 320 pixels, 1024
hidden channels), all with random weights; TRIS with its bilateral prompt (`alpha` of EHIN), which
the default run leaves out. One image at a time, first with a single expression, then with all of
its expressions, which in both share the encoding of the image and what its pixels are prompted
with. Pictures are in memory and seen one way round. Median over images of processor time on one
thread, both methods in turn.

The paper (EHIN, Table 10) gives 2.18 s for TRIS and 2.05 s for EHIN, an expression on an NVIDIA A40
at batch size 1 and 320 x 320, without saying what is in it; EHIN computes more than TRIS, so it
cannot take less time for that reason.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.evaluation_sharing import items_of
from benchmarks.rows import Row
from benchmarks.settings import THREADS
from benchmarks.world import build_world
from pipeline.config import Config, check, merge
from pipeline.inference import Item, Viewer, computes_in_bf16, device_of
from pipeline.steps.localizer_network import build_localizer

FULL = {"images": 200, "published_images": 30}
TINY = {"images": 3, "published_images": 2}

PUBLISHED: dict[str, Any] = {
    "encoder": {
        "model": "RN50-quickgelu",
        "pretrained": None,
        "output_stride": 32,
        "image_size": 320,
    },
    "localizer": {"hidden": 1024, "levels": [-1], "coordinates": False, "projection": "random"},
}


def rows(*, images: int, published_images: int) -> list[Row]:
    """Milliseconds an expression of both methods, at both sizes."""
    torch.set_num_threads(THREADS)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        config = build_world(Path(folder), train=1, held_out=images)
        items = items_of(config)
        sizes: tuple[tuple[str, Mapping[str, Any], list[Item]], ...] = (
            ("config.yaml", {}, items),
            ("papers' size", PUBLISHED, items[:published_images]),
        )
        for size, changes, chosen in sizes:
            sized = check(merge(config.model_dump(), changes))
            for words, asked in (
                ("one expression an image", [(image, texts[:1]) for image, texts in chosen]),
                ("all expressions of an image", chosen),
            ):
                ehin, tris = measure(sized, asked)
                found.append(
                    Row(
                        claim=f"inference, {size}, {words}: EHIN, against TRIS",
                        ours=ehin,
                        alternative=tris,
                        unit="ms/expression",
                        ratio=tris / ehin,
                        at_least=0.5,
                    )
                )
    return found


def measure(config: Config, items: list[Item]) -> tuple[float, float]:
    """Processor milliseconds an expression: EHIN, TRIS."""
    alpha = {"localizer": {"alpha": config.ehin.hipm.alpha}}
    viewers = [
        viewer(check(merge(config.model_dump(), changes)))
        for changes in ({"localizer": {"method": "ehin"}}, alpha)
    ]
    times = []
    for number, item in enumerate([items[0], *items]):
        taken = [timed(one, item) / len(item[1]) for one in viewers]
        if number:  # the first image comes twice: once to warm up
            times.append(taken)
    ehin, tris = 1000 * np.median(times, axis=0)
    return float(ehin), float(tris)


def viewer(config: Config) -> Viewer:
    """The localizer as `ris respond` uses it, an image at a time."""
    accelerator = config.machine.accelerator
    return Viewer(
        build_localizer(config, with_critic=False),
        size=config.encoder.image_size,
        device=device_of(accelerator),
        images_per_batch=1,
        bf16=computes_in_bf16(accelerator, config.localizer.training.precision),
        mirror=False,
    )


def timed(viewer: Viewer, item: Item) -> float:
    """Processor seconds until the maps of an image's expressions are there."""
    start = time.process_time()
    (maps,) = viewer.respond([item], total=1, title="respond")
    assert len(maps) == len(item[1])
    return time.process_time() - start
