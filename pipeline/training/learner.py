"""A network and its optimiser as the training library wants them: one step of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from pipeline import processes
from pipeline.losses import Consistency, consistency
from pipeline.safety import InputError
from pipeline.training.optimisation import Optimisation, build_optimiser, set_learning_rate
from pipeline.training.seeds import STEP, seed_of

TOTAL = "loss"
AGREEMENT = "consistency"


class Learner(LightningModule):
    """Thin: what happens in one step, and nothing about the run around it.

    Args:
        network: `forward(batch) -> (tensor, losses by name)`. One with an attribute `terms` is told
            which losses are wanted and computes only those.
        prepare: batch on the device -> batch for the network.
        loss_weights: of every loss by its name.
        loss_starts: name -> share of the steps before which that loss does not count.
        consistency: how the network's tensor, logits then, is compared with that of the average of
            its weights, see `losses.consistency`; the loss of that name is weighted as the others.
            None: not at all.
        steps: of the whole run.
        seed: each step's random state (dropout) depends on it and on the step alone.

    Attributes:
        names: `loss` (the weighted sum), then the losses.
        counted: the losses that counted in the last step.
        losses: (len(names),) float32 of the last step; NaN where a loss did not count yet.
    """

    losses: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        prepare: Callable[[Any], Any],
        loss_weights: Mapping[str, float],
        loss_starts: Mapping[str, float],
        consistency: Consistency | None,
        optimisation: Optimisation,
        steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        unknown = set(loss_starts) - set(loss_weights)
        if unknown:
            raise InputError(f"loss_starts: {_listed(unknown)} not among the loss weights")
        self.network = network
        self.names = (TOTAL, *loss_weights)
        self.counted: list[str] = []
        self._prepare = prepare
        self._weights = dict(loss_weights)
        self._starts = {name: share * steps for name, share in loss_starts.items()}
        self._consistency = consistency
        # in a tuple, where it is no part of the learner: neither trained, saved nor averaged
        self._teacher: tuple[nn.Module, ...] = ()
        self._optimisation = optimisation
        self._steps = steps
        self._seed = seed
        # the last step's losses, not yet looked at: looking waits for the device
        self._unverified: tuple[int, Tensor, Any] | None = None

    def learn_from(self, teacher: nn.Module) -> None:
        """Take `teacher`, the average of the network's weights, for the loss `consistency`."""
        self._teacher = (teacher.eval(),)

    def configure_optimizers(self) -> Optimizer:
        return build_optimiser(self.network, self._optimisation)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip here: the library refuses where an optimiser is fused, for float16's sake."""
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        step = self.global_step
        optimiser = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimiser, Optimizer)
        set_learning_rate(optimiser, self._optimisation, step, self._steps)
        key = seed_of(STEP, self._seed, step, self.global_rank)
        # torch.manual_seed would, on a machine without a GPU, note a stack trace in every step
        torch.default_generator.manual_seed(key)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(key)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self.global_step
        wanted = [name for name in self._weights if step >= self._starts.get(name, 0)]
        self.counted = [name for name in wanted if self._weights[name]] or wanted
        total, losses = self._weighed(self._prepare(batch))
        self.verify()
        self.losses = torch.stack(
            [total.detach()]
            + [
                losses[name].detach().float() if name in losses else total.detach() * torch.nan
                for name in self._weights
            ]
        )
        self._unverified = (step, self.losses, batch)
        return total

    def loss_of(self, batch: Any) -> Tensor:
        """The weighted sum of the losses that count now, of a prepared batch."""
        return self._weighed(batch)[0]

    def _weighed(self, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of what counts, and every loss that the network returned."""
        network: Any = self.network
        selects = hasattr(network, "terms")
        own = [name for name in (self.counted if selects else self._weights) if name != AGREEMENT]
        if selects and tuple(network.terms) != tuple(own):
            network.terms = own
        output, losses = network(batch)
        self._check_names(losses, own)
        if AGREEMENT in self.counted:
            losses = {**losses, AGREEMENT: self._disagreement(output, batch)}
        weighted = [self._weights[name] * losses[name].float() for name in self.counted]
        return torch.stack(weighted).sum(), losses

    def _disagreement(self, output: Tensor, batch: Any) -> Tensor:
        """The loss `consistency` of the network's logits and those of its teacher."""
        if self._consistency is None or not self._teacher:
            raise InputError("consistency: has a weight but no teacher; set ema to a decay")
        with torch.no_grad():
            target, _ = self._teacher[0](batch)
        loss = consistency(output, target, kind=self._consistency)
        return processes.batch_mean(loss, len(output))

    def verify(self) -> None:
        """Raise InputError if the loss of the last step was not finite.

        Called when its result is there anyway: in the next step, and before anything is saved.
        """
        if self._unverified is None:
            return
        step, losses, batch = self._unverified
        self._unverified = None
        if torch.isfinite(losses[0]):
            return
        values = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(self.names, losses.tolist(), strict=True)
        )
        images = getattr(batch, "image_ids", None)
        where = "" if images is None else f"; image_ids of the batch: {images.tolist()}"
        raise InputError(
            f"training: the loss of step {step + 1} is not finite ({values}){where}. Nothing was "
            "saved after it. Lower learning_rate, set clip_norm or set precision to 32"
        )

    def _check_names(self, losses: Mapping[str, Tensor], expected: list[str]) -> None:
        if losses.keys() == set(expected):
            return
        unweighted, lacking = set(losses) - set(expected), set(expected) - set(losses)
        raise InputError(
            "loss_weights: must name the losses of the network; "
            + "; ".join(
                part
                for part in (
                    unweighted and f"without a weight: {_listed(unweighted)}",
                    lacking and f"weights without a loss: {_listed(lacking)}",
                )
                if part
            )
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
