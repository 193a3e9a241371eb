"""``ris segment``: the mask of every expression of the evaluation splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.config import Config, run_config
from pipeline.evaluation import binarise_logits, convention
from pipeline.inference import Viewer, computes_in_bf16, device_of
from pipeline.layout import Layout
from pipeline.records import Expression
from pipeline.runs import owner, step_settings
from pipeline.steps.inputs import by_image, columns_of, expressions_of, images_of, pictures_of
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import digest_of, rle_encode, table_writer
from pipeline.training.weights import load_weights

Loaded = tuple[NDArray[np.uint8], list[Expression]]  # an image (H, W, 3) and its expressions


def run(config: Config, *, run: str) -> None:
    """Write a mask, its mean probability and the peak of every expression."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    expressions = expressions_of(config, config.dataset.evaluate)
    images = images_of(config, config.dataset.evaluate)
    pictures = pictures_of(config)
    rule = convention(settings.evaluation.convention).binarise
    groups = list(by_image(expressions))
    loaded = ((pictures.load(images[image]), group) for image, group in groups)
    title = f"segment {run}"
    found = (
        _asked(config, run, loaded, len(groups), title)
        if settings.segmentor.method == "sam"
        else _viewed(config, run, loaded, len(groups), title)
    )
    with table_writer(
        layout.predictions(run),
        kind="predictions",
        config_digest=digest_of(step_settings(config, run, "segment")),
    ) as writer:
        for (_, group), logits in zip(groups, found, strict=True):
            height, width = logits.shape[1:]
            masks = binarise_logits(logits, rule)
            peaks = logits.reshape(len(logits), -1).argmax(axis=1)
            writer.append(
                {
                    **columns_of(group),
                    "rle": [rle_encode(mask) for mask in masks],
                    "height": [height] * len(group),
                    "width": [width] * len(group),
                    "score": [
                        confidence(one, mask) for one, mask in zip(logits, masks, strict=True)
                    ],
                    "peak_x": (peaks % width).astype(np.float64),
                    "peak_y": (peaks // width).astype(np.float64),
                }
            )


def _viewed(
    config: Config, run: str, loaded: Iterable[Loaded], total: int, title: str
) -> Iterator[NDArray[np.float32]]:
    """The logits of the run's trained segmentor."""
    settings = run_config(config, run)
    network = build_segmentor(settings)
    weights = Layout.of(config).segmentor(owner(config, run, "train_segmentor"))
    load_weights(network, weights)
    viewer = Viewer(
        network,
        size=settings.encoder.image_size,
        device=device_of(config.machine.accelerator),
        images_per_batch=config.machine.evaluation_batch,
        bf16=computes_in_bf16(config.machine.accelerator, settings.segmentor.training.precision),
        mirror=settings.inference.mirror_masks,
    )
    items = ((image, [expression.text for expression in group]) for image, group in loaded)
    return viewer.segment(items, total=total, title=title)


def _asked(
    config: Config, run: str, loaded: Iterable[Loaded], total: int, title: str
) -> Iterator[NDArray[np.float32]]:
    """The logits of SAM, asked where the run's responses peak."""
    # segment_anything is not imported where it is not asked for
    from pipeline.steps.sam_segmentor import segmented

    responses = Layout.of(config).responses(owner(config, run, "respond"))
    bar = tqdm(loaded, total=total, desc=title, unit="image", mininterval=1.0)
    return segmented(run_config(config, run), responses, bar)


def confidence(logits: np.ndarray, mask: np.ndarray) -> float:
    """Mean probability of the mask's pixels, in (0.5, 1); 0 for an empty mask."""
    if not mask.any():
        return 0.0
    return float((1 / (1 + np.exp(-logits[mask].astype(np.float64)))).mean())
