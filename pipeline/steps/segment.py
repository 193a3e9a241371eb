"""``ris segment``: the mask of every expression of the evaluation splits."""

from __future__ import annotations

import numpy as np

from pipeline.config import Config, run_config
from pipeline.evaluation import binarise_logits, convention
from pipeline.inference import Viewer, device_of
from pipeline.layout import Layout
from pipeline.runs import owner, step_settings
from pipeline.steps.fitting import computes_in_bf16
from pipeline.steps.inputs import by_image, columns_of, expressions_of, images_of, pictures_of
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import digest_of, rle_encode, table_writer
from pipeline.training.weights import load_weights


def run(config: Config, *, run: str) -> None:
    """Write a mask, its mean probability and the peak of every expression."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    network = build_segmentor(settings)
    load_weights(network, layout.segmentor(owner(config, run, "train_segmentor")))
    expressions = expressions_of(config, config.dataset.evaluate)
    images = images_of(config, config.dataset.evaluate)
    pictures = pictures_of(config)
    rule = convention(settings.evaluation.convention).binarise
    viewer = Viewer(
        network,
        size=settings.encoder.image_size,
        device=device_of(config.machine.accelerator),
        images_per_batch=config.machine.evaluation_batch,
        bf16=computes_in_bf16(config.machine.accelerator, settings.segmentor.training.precision),
        mirror=settings.inference.mirror_masks,
    )
    groups = list(by_image(expressions))
    items = ((pictures.load(images[image]), [e.text for e in group]) for image, group in groups)
    found = viewer.segment(items, total=len(groups), title=f"segment {run}")
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


def confidence(logits: np.ndarray, mask: np.ndarray) -> float:
    """Mean probability of the mask's pixels, in (0.5, 1); 0 for an empty mask."""
    if not mask.any():
        return 0.0
    return float((1 / (1 + np.exp(-logits[mask].astype(np.float64)))).mean())
