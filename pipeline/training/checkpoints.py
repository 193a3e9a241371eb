"""What survives a kill: the last checkpoint of a run, and the signals that ask for one.

Periodic checkpoints (every epoch, every few minutes) are the guarantee; signals only spare the time
since the last one. A handler sets a flag, the end of the step saves and leaves.
"""

from __future__ import annotations

import signal
import threading
import time
import zipfile
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from pipeline.safety import InputError
from pipeline.store import atomic_path
from pipeline.training.learner import Learner

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Checkpoints(Callback):
    """Keeps the last checkpoint at `path`.

    Only ever saved at the end of a step, and not after the last one: final weights follow it.

    Args:
        minutes: the longest time between two checkpoints.
        steps: of the whole run.

    Raises:
        SystemExit: with 128 + the signal's number (143 for SIGTERM), after saving.
    """

    def __init__(self, path: Path, *, minutes: float, steps: int, steps_per_epoch: int) -> None:
        self._path = path
        self._minutes = minutes
        self._steps = steps
        self._steps_per_epoch = steps_per_epoch
        self._saved = 0.0
        self._signal = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            # in place of the library's handlers; it puts back what was there before it
            for number in SIGNALS:
                signal.signal(number, self._receive)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Learner)
        step = trainer.global_step
        if step == self._steps:
            return
        leaves = self._agreed(trainer, bool(self._signal))
        overdue = time.monotonic() - self._saved > self._minutes * 60
        if leaves or step % self._steps_per_epoch == 0 or self._agreed(trainer, overdue):
            pl_module.verify()
            trainer.save_checkpoint(self._path)
            self._saved = time.monotonic()
        if leaves:
            number = self._signal or signal.SIGTERM
            raise SystemExit(128 + number)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        pl_module.verify()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._signal and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: now
        self._signal = number

    @staticmethod
    def _agreed(trainer: Trainer, wish: bool) -> bool:
        """What any process wishes, all do."""
        if trainer.world_size == 1:
            return wish
        return trainer.strategy.reduce_boolean_decision(wish, all=False)


class CheckpointFiles(TorchCheckpointIO):
    """Reads and writes checkpoints: whole files, tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        # through a file of ours: torch's own does not say when the disk is full
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Raises InputError if the file is damaged or holds more than tensors and plain values."""
        try:
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile("wrong checksum")
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch lets through many kinds
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(
                f"{path}: not a readable checkpoint ({reason[0]:.200}); delete it to train from "
                "the start"
            ) from error
        return content
