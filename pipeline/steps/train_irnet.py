"""``ris train-irnet``: IRNet's edges and displacements, from label maps that no person drew."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config, run_config
from pipeline.inference import device_of
from pipeline.layout import Layout
from pipeline.pseudo_labels.irnet import EdgeDisplacementNetwork
from pipeline.runs import owner
from pipeline.steps.fitting import train
from pipeline.steps.inputs import images_of, pictures_of
from pipeline.steps.irnet_network import build_irnet, demand_irnet, trunk_files
from pipeline.store import labels_decode, read_table
from pipeline.training.labelled_images import LabelledImageBatches


def run(config: Config, *, run: str) -> None:
    """Train the run's network and store its mean displacement; write its weights and curves."""
    settings = run_config(config, run)
    demand_irnet(settings, run)
    section = settings.pseudo_labels.irnet
    layout = Layout.of(config)
    paths = layout.all_irnet_labels(owner(config, run, "label_irnet"))
    network = build_irnet(settings)
    batches = irnet_batches(settings, paths, network)

    def store_mean() -> None:
        device = device_of(config.machine.accelerator)
        network.to(device)
        network.store_mean_displacement(image.to(device) for image in batches.whole())

    train(
        settings,
        network,
        batches,
        run=run,
        stage="train_irnet",
        section=section.training,
        epochs=section.training.epochs,
        loss_weights=section.loss_weights.model_dump(),
        loss_starts={},
        inputs={
            "images": layout.table("images"),
            **trunk_files(settings),
            **{f"labels {shard}": path for shard, path in enumerate(paths)},
        },
        output=layout.irnet(run),
        curves=layout.curves(run, "irnet"),
        scales={"displacement.": section.training.displacement_scale},
        threads=config.machine.training_threads,
        finish=store_mean,
    )


def irnet_batches(
    config: Config, paths: list[Path], network: EdgeDisplacementNetwork
) -> LabelledImageBatches:
    """The labelled images of all shards."""
    rows = {
        row["image_id"]: row
        for path in paths
        for row in read_table(path, kind="irnet_labels").to_pylist()
    }
    section = config.pseudo_labels.irnet.training
    records = images_of(config, [config.dataset.train])
    return LabelledImageBatches(
        [records[image_id] for image_id in rows],
        read_image=pictures_of(config).load,
        read_labels=lambda record: labels_decode(
            *(rows[record.image_id][name] for name in ("labels", "height", "width"))
        ),
        encoder=network.trunk.encoder,
        size=(section.crop, section.crop),
        scales=section.scales,
        batch_size=section.batch_size,
        seed=config.seed,
    )
