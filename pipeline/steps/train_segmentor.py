"""``ris train-segmentor``: Stage-2, on pseudo-labels or (for reference) on true masks."""

from __future__ import annotations

import pyarrow as pa

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.runs import is_supervised, owner
from pipeline.steps.fitting import encoder_inside, expression_batches, train
from pipeline.steps.inputs import files_of
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.store import read_table
from pipeline.training.masks import MaskTable


def run(config: Config, *, run: str) -> None:
    """Train the run's segmentor; write its weights and curves."""
    settings = run_config(config, run)
    section = settings.segmentor
    layout = Layout.of(config)
    wanted = [("split", "==", settings.dataset.train)]
    if is_supervised(settings):
        paths = [layout.table("truth")]
        table = read_table(paths[0], kind="truth", filters=wanted)
        masks = MaskTable.of_truth(table, resize="area")
    else:
        paths = layout.all_pseudo_labels(owner(config, run, "refine"))
        shards = [read_table(path, kind="pseudo_labels", filters=wanted) for path in paths]
        masks = MaskTable.of_pseudo_labels(pa.concat_tables(shards), resize="area")
    network = build_segmentor(settings)
    train(
        settings,
        network,
        expression_batches(
            settings, section.training, encoder=encoder_inside(network), masks=masks
        ),
        run=run,
        stage="train_segmentor",
        section=section.training,
        epochs=section.training.epochs,
        loss_weights=section.loss_weights.model_dump(),
        loss_starts={},
        inputs={
            "expressions": layout.table("expressions"),
            "images": layout.table("images"),
            **files_of(settings.encoder, name="encoder"),
            **{f"masks {index}": path for index, path in enumerate(paths)},
        },
        output=layout.segmentor(run),
        curves=layout.curves(run, "segmentor"),
        encoder=True,
        threads=config.machine.training_threads,
    )
