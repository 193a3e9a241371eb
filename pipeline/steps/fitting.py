"""The one way in which a step trains a network: configuration in, weights and curves out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from pipeline import config as schema
from pipeline.datasets import no_target_split
from pipeline.encoders import Encoder
from pipeline.layout import Layout
from pipeline.losses import Consistency
from pipeline.processes import is_first
from pipeline.runs import step_settings
from pipeline.safety import InputError
from pipeline.steps.inputs import expressions_of, images_of, pictures_of
from pipeline.steps.told import NOTHING, Told
from pipeline.store import digest_file, digest_of
from pipeline.training.batches import ExpressionBatches
from pipeline.training.loop import fit
from pipeline.training.masks import MaskTable
from pipeline.training.optimisation import Optimisation
from pipeline.training.seeds import HELD_OUT, generator_of
from pipeline.training.source import BatchSource


def optimisation_of(section: schema.Optimisation, *, scales: Mapping[str, float]) -> Optimisation:
    """The loop's settings; ``scales``: of the parts of the network that learn at their own rate."""
    return Optimisation(
        optimiser=section.optimiser,
        learning_rate=section.learning_rate,
        scales=scales,
        weight_decay=section.weight_decay,
        decayed=section.decayed,
        momentum=section.momentum,
        schedule=section.schedule,
        power=section.power,
        warmup_steps=section.warmup_steps,
        clip_norm=section.clip_norm,
    )


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
    told: Told = NOTHING,
) -> ExpressionBatches:
    """Batches of the training split without what is held out; with no ``masks`` none is read."""
    return _batches(config, section, encoder, masks, told, held_out=False)


def held_out_batches(
    config: schema.Config,
    section: schema.Training,
    *,
    encoder: Encoder,
    masks: MaskTable | None,
    told: Told = NOTHING,
) -> ExpressionBatches | None:
    """Batches of the images held out, as they are; None if there are none."""
    if not section.held_out:
        return None
    section = section.model_copy(update={"augment": []})
    return _batches(config, section, encoder, masks, told, held_out=True)


def _batches(
    config: schema.Config,
    section: schema.Training,
    encoder: Encoder,
    masks: MaskTable | None,
    told: Told,
    *,
    held_out: bool,
) -> ExpressionBatches:
    train = [config.dataset.train]
    if masks is not None and config.segmentor.no_target == "learn":
        train.append(no_target_split(config.dataset.train))
    size = config.encoder.image_size
    images = images_of(config, train)
    apart = _held_out(sorted(images), section.held_out, config.seed)
    return ExpressionBatches(
        [e for e in expressions_of(config, train) if (e.image_id in apart) == held_out],
        images.values(),
        read_image=pictures_of(config).load,
        encoder=encoder,
        size=(size, size),
        batch_size=section.batch_size,
        texts_per_image=section.texts_per_image,
        sampling=section.sampling,
        distinct_referents=section.distinct_referents,
        negatives=section.negatives,
        masks=masks,
        cues=told.cues,
        proposals=told.proposals,
        augment=section.augment,
        photometric_strength=section.photometric_strength,
        workers=config.machine.workers,
        channels_last=True,
        seed=config.seed,
    )


def _held_out(image_ids: list[int], wanted: int, seed: int) -> set[int]:
    """Which images are held out: at random, and the same for every network of a seed."""
    if wanted >= len(image_ids):
        raise InputError(
            f"training.held_out: {wanted} of the {len(image_ids)} training images; hold out fewer"
        )
    chosen = generator_of(HELD_OUT, seed).permutation(image_ids)[:wanted]
    return set(chosen.tolist())


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
    scales: Mapping[str, float],
    threads: int,
    consistency: Consistency | None = None,
    held_out: BatchSource | None = None,
    result: Literal["last", "best"] = "last",
    finish: Callable[[], None] | None = None,
) -> None:
    """Train, resuming an interrupted run of the same settings and inputs; see `fit`."""
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
        optimisation=optimisation_of(section, scales=scales),
        epochs=epochs,
        ema=section.ema,
        consistency=consistency,
        precision=section.precision,
        channels_last=True,
        accelerator=config.machine.accelerator,
        devices=config.machine.devices,
        nodes=config.machine.nodes,
        threads=threads,
        seed=config.seed,
        run_key=key,
        checkpoints=layout.checkpoints(run, stage, key),
        checkpoint_minutes=section.checkpoint_minutes,
        curve_steps=section.curve_steps,
        output=output,
        curves=curves,
        held_out=held_out,
        result=result,
        finish=finish,
    )


def pretrain(
    config: schema.Config,
    network: nn.Module,
    batches: BatchSource,
    *,
    name: str,
    stage: str,
    section: schema.Optimisation,
    loss_weights: Mapping[str, float],
    inputs: Mapping[str, Path],
    folder: Path,
    curves: Path,
    threads: int,
    save: Callable[[], None],
) -> bool:
    """Train a model of the miniature's own, whose ``batches`` are one epoch; see `train`.

    Args: ``save`` writes it to ``folder`` in its own format; the loop's weights do not stay there.

    Returns: whether this process is the one that saved, and is to measure.
    """
    learned = folder / "pretraining.safetensors"
    train(
        config,
        network,
        batches,
        run=name,
        stage=stage,
        section=section,
        epochs=1,
        loss_weights=loss_weights,
        loss_starts={},
        inputs=inputs,
        output=learned,
        curves=curves,
        scales={},
        threads=threads,
    )
    if not is_first():
        return False
    save()
    learned.unlink()
    return True
