"""``ris respond``: the response map of every expression of every split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.config import Config, run_config
from pipeline.inference import Viewer, device_of
from pipeline.layout import Layout
from pipeline.runs import owner, step_settings
from pipeline.steps.fitting import computes_in_bf16
from pipeline.steps.inputs import by_image, columns_of, expressions_of, images_of, pictures_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.store import digest_of, write_maps
from pipeline.training.flips import mirrored
from pipeline.training.weights import load_weights


def run(config: Config, *, run: str) -> None:
    """Write the raw response maps; an image is encoded once for all its expressions."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    network = build_localizer(settings, with_critic=False)
    load_weights(network, layout.localizer(owner(config, run, "train_localizer")))
    expressions = expressions_of(config, config.dataset.splits)
    images = images_of(config, config.dataset.splits)
    pictures = pictures_of(config)
    viewer = Viewer(
        network,
        size=settings.encoder.image_size,
        device=device_of(config.machine.accelerator),
        images_per_batch=config.machine.evaluation_batch,
        bf16=computes_in_bf16(config.machine.accelerator, settings.localizer.training.precision),
    )

    def items() -> Iterator[tuple[np.ndarray, list[str]]]:
        for image_id, group in by_image(expressions):
            image, texts = pictures.load(images[image_id]), [e.text for e in group]
            yield image, texts
            if settings.localizer.mirror:
                yield image[:, ::-1], [mirrored(text) or text for text in texts]

    def maps() -> Iterator[np.ndarray]:
        views = 2 if settings.localizer.mirror else 1
        found = viewer.respond(items(), total=views * len(images), title=f"respond {run}")
        for _, group in by_image(expressions):
            responses = next(found)
            if settings.localizer.mirror:
                # A sentence that cannot be mirrored says nothing of the mirrored image.
                can = np.array([mirrored(e.text) is not None for e in group])[:, None, None]
                responses = np.where(can, (responses + next(found)[..., ::-1]) / 2, responses)
            yield from responses

    write_maps(
        layout.responses(run),
        columns_of(expressions),
        maps(),
        config_digest=digest_of(step_settings(config, run, "respond")),
    )
