"""``ris refine``: from response maps to pseudo-labels, for one shard of the images."""

from __future__ import annotations

from typing import Any

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.runs import owner, step_settings
from pipeline.steps.inputs import columns_of
from pipeline.steps.referents import RefinedImage, refined_images
from pipeline.steps.refiners import build_refiners
from pipeline.store import digest_of, rle_encode, table_writer


def run(config: Config, *, run: str, shard: int) -> None:
    """Write one mask an expression; sentences of a referent share theirs after PRMS."""
    settings = run_config(config, run)
    layout = Layout.of(config)
    names = settings.pseudo_labels.refine
    irnet = layout.irnet(owner(config, run, "train_irnet")) if "irnet" in names else None
    images = refined_images(
        config,
        run,
        build_refiners(settings, names, irnet=irnet),
        splits=settings.pseudo_labels.splits,
        shard=shard,
        with_proposals="proposal_snap" in names,
        title=f"refine {run} {shard}",
    )
    with table_writer(
        layout.pseudo_labels(run, shard),
        kind="pseudo_labels",
        config_digest=digest_of(step_settings(config, run, "refine")),
    ) as writer:
        for image in images:
            writer.append(_rows(image))


def _rows(image: RefinedImage) -> dict[str, list[Any]]:
    labels = {
        sent_id: state.label(place)
        for state in image.referents
        for place, sent_id in enumerate(state.sent_ids)
    }
    found = [labels[expression.sent_id] for expression in image.expressions]
    return {
        **columns_of(image.expressions),
        "rle": [rle_encode(mask) for mask, _, _ in found],
        "height": [mask.shape[0] for mask, _, _ in found],
        "width": [mask.shape[1] for mask, _, _ in found],
        "source": [source for _, source, _ in found],
        "score": [score for _, _, score in found],
    }
