"""``ris train-segmentor``: Stage-2, on pseudo-labels or (for reference) on true masks."""

from __future__ import annotations

import pyarrow as pa

from pipeline.config import Config, run_config
from pipeline.datasets import no_target_split
from pipeline.layout import Layout
from pipeline.runs import is_supervised, owner
from pipeline.steps.fitting import encoder_inside, expression_batches, held_out_batches, train
from pipeline.steps.inputs import expressions_of, files_of, images_of
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import read_table
from pipeline.training.learner import AGREEMENT
from pipeline.training.masks import MaskTable


def run(config: Config, *, run: str) -> None:
    """Train the run's segmentor; write its weights and curves.

    Training sentences that are known to have no target teach an empty mask, or nothing.
    """
    settings = run_config(config, run)
    section = settings.segmentor
    layout = Layout.of(config)
    splits = [settings.dataset.train, no_target_split(settings.dataset.train)]
    wanted = [("split", "in", splits)]
    if is_supervised(settings):
        paths = [layout.table("truth")]
        table = read_table(paths[0], kind="truth", filters=wanted)
        masks = MaskTable.of_truth(table, resize="area")
    else:
        paths = layout.all_pseudo_labels(owner(config, run, "refine"))
        shards = [read_table(path, kind="pseudo_labels", filters=wanted) for path in paths]
        masks = MaskTable.of_pseudo_labels(pa.concat_tables(shards), resize="area")
        masks = masks.with_empty(_sizes(settings, splits[1:]))
    agreement = section.consistency
    kind = None if agreement.loss == "none" else agreement.loss
    network = build_segmentor(settings)
    encoder = encoder_inside(network)
    train(
        settings,
        network,
        expression_batches(settings, section.training, encoder=encoder, masks=masks),
        run=run,
        stage="train_segmentor",
        section=section.training,
        epochs=section.training.epochs,
        loss_weights={
            **section.loss_weights.model_dump(),
            **({} if kind is None else {AGREEMENT: agreement.weight}),
        },
        loss_starts={} if kind is None else {AGREEMENT: agreement.start},
        consistency=kind,
        inputs={
            "expressions": layout.table("expressions"),
            "images": layout.table("images"),
            **files_of(settings.encoder, name="encoder"),
            **{f"masks {index}": path for index, path in enumerate(paths)},
        },
        output=layout.segmentor(run),
        curves=layout.curves(run, "segmentor"),
        scales={"encoder.": section.training.encoder_scale},
        threads=config.machine.training_threads,
        held_out=held_out_batches(settings, section.training, encoder=encoder, masks=masks),
        result=section.training.result,
    )


def _sizes(config: Config, splits: list[str]) -> dict[int, tuple[int, int]]:
    """Height and width of the image of each expression, by sent_id."""
    images = images_of(config, splits)
    return {
        expression.sent_id: (images[expression.image_id].height, images[expression.image_id].width)
        for expression in expressions_of(config, splits)
    }
