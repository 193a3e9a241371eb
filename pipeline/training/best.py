"""The best epoch so far: its weights are kept beside the last checkpoint."""

from __future__ import annotations

import math
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from pipeline.safety import InputError
from pipeline.training.averaging import Averaging
from pipeline.training.learner import Learner
from pipeline.training.source import BatchSource
from pipeline.training.weights import save_weights


class Best(Callback):
    """Judges the weights at the end of each epoch and keeps the best of them at `path`.

    The judge is the weighted loss, the less the better: on `held_out`, whose images are not trained
    on, in evaluation mode, of the averaged weights where there is an average; without it, the mean
    of the epoch's own steps, which cannot see overfitting. When other losses begin to count, the
    old sums say nothing of the new, so the judge forgets them.

    Args:
        path: of the weights, safetensors.
        held_out: one epoch of it is shown each time.
        averaging: the callback that keeps an average, which stands before this one in the list.
    """

    def __init__(
        self,
        path: Path,
        *,
        steps_per_epoch: int,
        held_out: BatchSource | None,
        averaging: Averaging | None,
    ) -> None:
        self._path = path
        self._steps_per_epoch = steps_per_epoch
        self._held_out = held_out
        self._averaging = averaging
        self._state: dict[str, Any] = {
            "loss": float("inf"),
            "epoch": 0,
            "counted": [],
            "sum": 0.0,
        }

    @property
    def epoch(self) -> int:
        """The best epoch, counted from 1; 0 before the first ends."""
        found: int = self._state["epoch"]
        return found

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Learner)
        state = self._state
        if self._held_out is None:
            state["sum"] = state["sum"] + pl_module.losses[0].double()
        epoch, rest = divmod(trainer.global_step, self._steps_per_epoch)
        if rest:
            return
        counted = sorted(pl_module.counted)
        if counted != state["counted"]:
            state |= {"loss": float("inf"), "counted": counted}
        with nullcontext() if self._averaging is None else self._averaging.shown(pl_module):
            loss = self._loss(trainer, pl_module)
            if not math.isfinite(loss):
                raise InputError(
                    f"training: the loss that judges epoch {epoch} is not finite ({loss}); lower "
                    "learning_rate, set clip_norm or set precision to 32"
                )
            if loss < state["loss"]:
                state |= {"loss": loss, "epoch": epoch}
                if trainer.is_global_zero:
                    save_weights(pl_module.network, self._path, metadata={"epoch": str(epoch)})
        state["sum"] = 0.0
        if trainer.is_global_zero and self._held_out is not None:
            said = f"epoch {epoch}: held-out loss {loss:.4g}, best in epoch {state['epoch']}"
            print(said, file=sys.stderr, flush=True)

    def _loss(self, trainer: Trainer, learner: Learner) -> float:
        """The judge's figure, the same in every process."""
        if self._held_out is None:
            found = torch.as_tensor(self._state["sum"], dtype=torch.float64) / self._steps_per_epoch
        else:
            found = self._held_out_loss(trainer, learner, self._held_out)
        reduced = trainer.strategy.reduce(found.to(learner.device), reduce_op="mean")
        return float(reduced)

    @staticmethod
    @torch.no_grad()
    def _held_out_loss(trainer: Trainer, learner: Learner, held_out: BatchSource) -> torch.Tensor:
        total, batches = torch.zeros((), dtype=torch.float64), 0
        rank, world = trainer.global_rank, trainer.world_size
        learner.network.eval()
        for batch in held_out.stream(start=0, stop=len(held_out), rank=rank, world=world):
            with trainer.precision_plugin.val_step_context():
                total += learner.loss_of(held_out.prepare(batch.to(learner.device))).double().cpu()
            batches += 1
        learner.network.train()
        return total / batches

    def state_dict(self) -> dict[str, Any]:
        return {**self._state, "sum": float(self._state["sum"])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = dict(state_dict)
