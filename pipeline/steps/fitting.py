"""The one way in which a step trains a network: configuration in, weights and curves out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from pipeline import config as schema
from pipeline.encoders import Encoder
from pipeline.inference import device_of
from pipeline.layout import Layout
from pipeline.runs import step_settings
from pipeline.steps.inputs import expressions_of, images_of, pictures_of
from pipeline.store import digest_file, digest_of
from pipeline.training.batches import BatchSource, ExpressionBatches
from pipeline.training.loop import fit
from pipeline.training.masks import MaskTable
from pipeline.training.optimisation import Optimisation
from pipeline.training.precision import Precision, resolve_precision


def optimisation_of(section: schema.Optimisation, *, encoder: bool) -> Optimisation:
    """The loop's settings; ``encoder``: whether a pretrained encoder learns at its own rate."""
    return Optimisation(
        optimiser=section.optimiser,
        learning_rate=section.learning_rate,
        scales={"encoder.": section.encoder_scale} if encoder else {},
        weight_decay=section.weight_decay,
        decayed=section.decayed,
        momentum=section.momentum,
        schedule=section.schedule,
        power=section.power,
        warmup_steps=section.warmup_steps,
        clip_norm=section.clip_norm,
    )


def computes_in_bf16(accelerator: Literal["auto", "cpu", "gpu"], precision: Precision) -> bool:
    """Whether a network of this precision is trained, and so used, in bfloat16 on this machine."""
    kind: Literal["cpu", "gpu"] = "gpu" if device_of(accelerator).type == "cuda" else "cpu"
    return resolve_precision(precision, kind) == "bf16"


def encoder_inside(network: nn.Module) -> Encoder:
    """The encoder that a localizer or segmentor fine-tunes."""
    encoder = network.encoder
    assert isinstance(encoder, Encoder)
    return encoder


def expression_batches(
    config: schema.Config,
    section: schema.Training,
    *,
    encoder: Encoder,
    masks: MaskTable | None,
) -> ExpressionBatches:
    """Batches of the training split; with no ``masks`` none can be read."""
    train = [config.dataset.train]
    size = config.encoder.image_size
    return ExpressionBatches(
        expressions_of(config, train),
        images_of(config, train).values(),
        read_image=pictures_of(config).load,
        encoder=encoder,
        size=(size, size),
        batch_size=section.batch_size,
        texts_per_image=section.texts_per_image,
        sampling=section.sampling,
        distinct_referents=section.distinct_referents,
        negatives=section.negatives,
        masks=masks,
        augment=section.augment,
        photometric_strength=section.photometric_strength,
        workers=config.machine.workers,
        channels_last=True,
        seed=config.seed,
    )


def train(
    config: schema.Config,
    network: nn.Module,
    batches: BatchSource,
    *,
    run: str,
    stage: str,
    section: schema.Optimisation,
    epochs: int,
    loss_weights: Mapping[str, float],
    loss_starts: Mapping[str, float],
    inputs: Mapping[str, Path],
    output: Path,
    curves: Path,
    encoder: bool,
    threads: int,
) -> None:
    """Train, resuming an interrupted run of the same settings and inputs."""
    layout = Layout.of(config)
    settings: dict[str, Any] = step_settings(config, run if run in config.runs else None, stage)
    key = digest_of(
        {"settings": settings, "inputs": {name: digest_file(p) for name, p in inputs.items()}}
    )
    fit(
        network,
        batches,
        title=f"{stage} {run}".strip(),
        loss_weights=loss_weights,
        loss_starts=loss_starts,
        optimisation=optimisation_of(section, encoder=encoder),
        epochs=epochs,
        ema=section.ema,
        precision=section.precision,
        channels_last=True,
        accelerator=config.machine.accelerator,
        devices=config.machine.devices,
        threads=threads,
        seed=config.seed,
        run_key=key,
        checkpoints=layout.checkpoints(run, stage, key),
        checkpoint_minutes=section.checkpoint_minutes,
        curve_steps=section.curve_steps,
        output=output,
        curves=curves,
    )
