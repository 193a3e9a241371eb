"""The training curves: a CSV that grows while training and goes on after a resume."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from pipeline.store import atomic_path
from pipeline.training.learner import Learner


class Curves(Callback):
    """One row every few steps: the means of the losses since the last row, and the speed.

    Columns: step (from 1), epoch (from 0), learning_rate (the largest group's), loss, each loss,
    seconds (of training, without pauses), images_per_second. A resumed run first drops the rows
    after its checkpoint.
    """

    def __init__(self, path: Path, *, every: int, steps: int, steps_per_epoch: int) -> None:
        self._path = path
        self._every = every
        self._steps = steps
        self._steps_per_epoch = steps_per_epoch
        self._sums: Tensor | None = None
        self._count = 0
        self._images = 0
        self._seconds = 0.0
        self._started = self._last = 0.0
        self._file: TextIO | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self._seconds + time.monotonic() - self._started

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        self._started = time.monotonic()
        self._last = self._seconds
        if not trainer.is_global_zero:
            return
        header = ["step", "epoch", "learning_rate", *pl_module.names]
        header += ["seconds", "images_per_second"]
        kept = [row for row in _rows(self._path, header) if int(row[0]) <= trainer.global_step]
        with atomic_path(self._path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *kept])
        self._file = open(self._path, "a", newline="", buffering=1)  # noqa: SIM115

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Learner)
        step = trainer.global_step
        losses = pl_module.losses.double()
        self._sums = losses if self._sums is None else self._sums.to(losses.device) + losses
        self._count += 1
        # texts, for a network that learns from texts alone
        self._images += len(getattr(batch, "images", batch)) * trainer.world_size
        if self._file is None or (step % self._every and step != self._steps):
            return
        rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        means = (self._sums / self._count).tolist()
        now = self.seconds
        speed = self._images / max(now - self._last, 1e-9)
        row = [str(step), str((step - 1) // self._steps_per_epoch), f"{rate:.6g}"]
        row += [f"{mean:.6g}" for mean in means] + [f"{now:.2f}", f"{speed:.1f}"]
        csv.writer(self._file, lineterminator="\n").writerow(row)
        self._sums, self._count, self._images, self._last = None, 0, 0, now

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def state_dict(self) -> dict[str, Any]:
        sums = torch.zeros(0) if self._sums is None else self._sums.cpu()
        return {"sums": sums, "count": self._count, "images": self._images, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._count, self._images = state_dict["count"], state_dict["images"]
        self._seconds = state_dict["seconds"]
        self._sums = state_dict["sums"] if self._count else None


def _rows(path: Path, header: list[str]) -> list[list[str]]:
    """The whole rows of an earlier file with the same columns; a last row may be torn."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        first, *rows = list(csv.reader(file)) or [[]]
    return [row for row in rows if len(row) == len(header)] if first == header else []
