"""What a person sees of a training run: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from pipeline.training.learner import Learner

SECONDS = 10.0  # between two lines
REFRESH = 0.5  # seconds between two looks at the loss, which waits for the device


class Progress(Callback):
    """Steps done, loss of the last step and speed, on standard error."""

    def __init__(self, title: str, *, steps: int, steps_per_epoch: int) -> None:
        self._title = title
        self._steps = steps
        self._steps_per_epoch = steps_per_epoch
        self._bar: tqdm[Any] | None = None
        self._started = self._shown = 0.0
        self._first = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._shown = time.monotonic()
        self._first = trainer.global_step
        if self._first and trainer.is_global_zero:
            tqdm.write(f"{self._title}: resumes after step {self._first}", file=sys.stderr)
        if sys.stderr.isatty() and trainer.is_global_zero:
            self._bar = tqdm(
                total=self._steps, initial=self._first, desc=self._title, unit="step", leave=True
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Learner)
        now = time.monotonic()
        step = trainer.global_step
        pause = SECONDS if self._bar is None else REFRESH
        if not trainer.is_global_zero or (now - self._shown < pause and step != self._steps):
            return
        self._shown = now
        loss = float(pl_module.losses[0])
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self._bar.update(step - self._bar.n)
            return
        pace = (step - self._first) / max(now - self._started, 1e-9)
        epoch = (step - 1) // self._steps_per_epoch + 1
        epochs = -(-self._steps // self._steps_per_epoch)
        print(
            f"{self._title}: step {step}/{self._steps}, epoch {epoch}/{epochs}, loss {loss:.4g}, "
            f"{pace:.2f} steps/s, {(self._steps - step) / max(pace, 1e-9):.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
