"""``ris respond``: the response map of every expression that a later step asks for."""

from __future__ import annotations

from pipeline.config import Config, run_config
from pipeline.inference import Viewer, computes_in_bf16, device_of
from pipeline.layout import Layout
from pipeline.runs import is_refined, owner, step_settings
from pipeline.steps.cues_and_proposals import table_of_cues
from pipeline.steps.inputs import by_image, columns_of, expressions_of, images_of, pictures_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.store import digest_of, write_maps
from pipeline.training.weights import load_weights


def run(config: Config, *, run: str) -> None:
    """Write the raw response maps; an image is encoded once for all its expressions.

    The training split is left out where no pseudo-labels are made of it.
    """
    settings = run_config(config, run)
    layout = Layout.of(config)
    network = build_localizer(settings, with_critic=False)
    load_weights(network, layout.localizer(owner(config, run, "train_localizer")))
    splits = config.dataset.splits if is_refined(settings) else config.dataset.evaluate
    expressions = expressions_of(config, splits)
    images = images_of(config, splits)
    pictures = pictures_of(config)
    viewer = Viewer(
        network,
        size=settings.encoder.image_size,
        device=device_of(config.machine.accelerator),
        images_per_batch=config.machine.evaluation_batch,
        bf16=computes_in_bf16(config.machine.accelerator, settings.localizer.training.precision),
        mirror=settings.inference.mirror_responses,
        cues=table_of_cues(settings, expressions),
    )

    groups = list(by_image(expressions))
    items = ((pictures.load(images[image]), [e.text for e in group]) for image, group in groups)
    found = viewer.respond(items, total=len(groups), title=f"respond {run}")

    write_maps(
        layout.responses(run),
        columns_of(expressions),
        (response for responses in found for response in responses),
        config_digest=digest_of(step_settings(config, run, "respond")),
    )
