"""The one training loop: any network, any source of batches, from the first step to its weights.

The whole run is one epoch to the training library, so that there is one kind of place to resume
from; our epochs are a matter of the batches' numbers (`source.BatchSource`). Everything random is
a function of (seed, step): a run that is killed and started again ends in the very same weights
(bit for bit on one CPU and number of threads; on a GPU as far as its kernels are deterministic).
"""

from __future__ import annotations

import gc
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer
from torch import nn

from pipeline.losses import Consistency
from pipeline.safety import InputError
from pipeline.store import atomic_path, digest_of
from pipeline.training.averaging import Averaging
from pipeline.training.best import Best
from pipeline.training.checkpoints import CheckpointFiles, Checkpoints
from pipeline.training.curves import Curves
from pipeline.training.learner import Learner
from pipeline.training.normalisation import share_batch_norms
from pipeline.training.optimisation import Optimisation
from pipeline.training.precision import Precision, resolve_precision
from pipeline.training.progress import Progress
from pipeline.training.source import BatchSource
from pipeline.training.weights import digest_weights, load_weights, save_weights
from pipeline.training.writer import only_writer


def fit(
    network: nn.Module,
    batches: BatchSource,
    *,
    title: str,
    loss_weights: Mapping[str, float],
    loss_starts: Mapping[str, float],
    optimisation: Optimisation,
    epochs: int,
    ema: float | None,
    consistency: Consistency | None = None,
    precision: Precision,
    channels_last: bool,
    accelerator: Literal["auto", "cpu", "gpu"],
    devices: int,
    nodes: int,
    threads: int,
    seed: int,
    run_key: str,
    checkpoints: Path,
    checkpoint_minutes: float,
    curve_steps: int,
    output: Path,
    curves: Path,
    held_out: BatchSource | None = None,
    result: Literal["last", "best"] = "last",
    finish: Callable[[], None] | None = None,
) -> None:
    """Train `network` in place; write its weights and its curves when it is done.

    An interrupted run goes on from its last checkpoint when it is started again with the same
    settings. SIGTERM or Ctrl-C saves one at the end of the step and exits (143, 130).

    Args:
        title: of the progress display; also kept with the weights.
        loss_weights: of every loss that the network returns, by name.
        loss_starts: name -> share of the steps before which a loss does not count; may be empty.
        epochs: passes over the batches.
        ema: decay of an exponential moving average of the weights, which then is the result.
        consistency: see `Learner`; needs `ema`, and a weight of that name.
        precision: `32`, `bf16` (autocast), `auto`: see `resolve_precision`.
        channels_last: memory format of the network.
        devices, nodes: processes a node, each on its own device, and nodes. They share every batch
            and arrive at the same losses, see `processes`. `launch` starts them.
        threads: of torch's own kernels.
        run_key: digest of what affects the result and is unknown here: data, batches, method. With
            the other arguments and the starting weights it names the checkpoint, so that a changed
            run never resumes a stale one.
        checkpoints: folder for the checkpoint and what grows beside it, see `only_writer`.
        checkpoint_minutes: longest time between checkpoints; each epoch ends with one too.
        curve_steps: steps a row of the curves.
        output: the weights, for `weights.load_weights`.
        curves: the finished CSV.
        held_out: what the epochs are judged by, see `Best`.
        result: the weights to end with, the last or those of the best epoch.
        finish: what the trained network still needs before its weights are written.

    Raises:
        InputError: a loss without a weight or the reverse, a loss that is not finite, no batches,
            no GPU where one is asked for, a damaged checkpoint, another process in the same run.
    """
    if not len(batches) or epochs < 1:
        raise InputError(f"training: {len(batches)} batches, {epochs} epochs: nothing to train on")
    torch.set_num_threads(threads)
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    if accelerator == "gpu" and not gpu:
        raise InputError("accelerator: gpu, but torch sees no GPU; set it to auto or cpu")
    numbers = resolve_precision(precision, "gpu" if gpu else "cpu")
    steps = epochs * len(batches)
    key = digest_of(
        {
            "run": run_key,
            "losses": [dict(loss_weights), dict(loss_starts)],
            "optimisation": {**asdict(optimisation), "scales": dict(optimisation.scales)},
            "steps": [epochs, len(batches)],
            "numbers": [ema, numbers, channels_last, devices * nodes],
            "result": result,
            "consistency": consistency,
            "seed": seed,
            "start": digest_weights(network),
        }
    )
    last, best = checkpoints / f"last-{key}.ckpt", checkpoints / f"best-{key}.safetensors"
    growing = checkpoints / f"curves-{key}.csv"

    if channels_last:
        network.to(memory_format=torch.channels_last)
    network.train()
    if devices * nodes > 1:
        share_batch_norms(network, gpu=gpu)
    learner = Learner(
        network,
        # a function, not a bound method: an average of the weights copies what the learner holds
        prepare=lambda batch: batches.prepare(batch),
        loss_weights=loss_weights,
        loss_starts=loss_starts,
        consistency=consistency,
        optimisation=optimisation,
        steps=steps,
        seed=seed,
    )
    plan = {"steps": steps, "steps_per_epoch": len(batches)}
    averaging = None if ema is None else Averaging(ema)
    callbacks: list[Callback] = [] if averaging is None else [averaging]
    callbacks += [
        Best(best, steps_per_epoch=len(batches), held_out=held_out, averaging=averaging),
        Curves(growing, every=curve_steps, **plan),
        Progress(title, **plan),
        Checkpoints(last, minutes=checkpoint_minutes, **plan),
    ]
    with _quiet():
        trainer = Trainer(
            accelerator="gpu" if gpu else "cpu",
            devices=devices,
            num_nodes=nodes,
            strategy="ddp_find_unused_parameters_true" if devices * nodes > 1 else "auto",
            precision="bf16-mixed" if numbers == "bf16" else "32-true",
            plugins=[CheckpointFiles(), _environment()],
            max_epochs=1,
            gradient_clip_val=optimisation.clip_norm,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=checkpoints,
        )
        run = _Run(batches, steps, rank=trainer.global_rank, world=trainer.world_size)
        # one process of the run is the writer for all of them
        with only_writer(checkpoints, key) if trainer.is_global_zero else nullcontext():
            resumed = last if last.exists() else None
            with _settled():
                trainer.fit(learner, run, ckpt_path=resumed, weights_only=True)
            if trainer.is_global_zero:
                if result == "best":
                    load_weights(network, best)
                if finish is not None:
                    finish()
                save_weights(network, output, metadata={"title": title, "run_key": run_key})
                with atomic_path(curves) as temporary:
                    shutil.copyfile(growing, temporary)
                last.unlink(missing_ok=True)


class _Run:
    """All batches of the run in order, from where its state says."""

    def __init__(self, batches: BatchSource, steps: int, *, rank: int, world: int) -> None:
        self._batches = batches
        self._steps = steps
        self._rank, self._world = rank, world
        self._done = 0

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        stream = self._batches.stream(
            start=self._done, stop=self._steps, rank=self._rank, world=self._world
        )
        for batch in stream:
            self._done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._done = state["done"]


def _environment() -> ClusterEnvironment:
    """torchrun's processes if it started us, else this one: never the scheduler's own guess."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return LightningEnvironment()


@contextmanager
def _settled() -> Iterator[None]:
    """What is there now stays: the collector need not look at it again and again, step by step."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the training library's tips and notices; its errors are raised all the same."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
