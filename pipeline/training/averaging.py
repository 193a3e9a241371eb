"""An average of the weights, which is what training ends with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.training.learner import Learner


class Averaging(WeightAveraging):
    """An exponential moving average of all weights, updated each step, with fused kernels.

    Buffers that are no part of the state dict are constants and stay as they are: the average of a
    mask of minus infinities is not a number.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the learner its own average, as a teacher."""
        assert isinstance(pl_module, Learner) and self._average_model is not None
        # it was copied before the learner moved to its device
        average = self._average_model.to(pl_module.device).module
        assert isinstance(average, Learner)
        pl_module.learn_from(average.network)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average, which must stay fit to be asked: its constants are not averaged."""
        assert self._average_model is not None
        with _constants_kept(self._average_model.module):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    @contextmanager
    def shown(self, learner: LightningModule) -> Iterator[None]:
        """The average in the learner's place; its own weights come back at the end."""
        self._swap_models(learner)
        try:
            yield
        finally:
            self._swap_models(learner)

    def _swap_models(self, pl_module: LightningModule) -> None:
        with _constants_kept(pl_module):
            super()._swap_models(pl_module)

    def _copy_average_to_current(self, pl_module: LightningModule) -> None:
        with _constants_kept(pl_module):
            super()._copy_average_to_current(pl_module)


@contextmanager
def _constants_kept(module: nn.Module) -> Iterator[None]:
    learned = module.state_dict().keys()
    constants = [buffer for name, buffer in module.named_buffers() if name not in learned]
    values = [buffer.clone() for buffer in constants]
    yield
    with torch.no_grad():
        for buffer, value in zip(constants, values, strict=True):
            buffer.copy_(value)
