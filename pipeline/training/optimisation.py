"""Optimiser, parameter groups and learning rate: how a network is moved, whatever it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.safety import InputError

Schedule = Literal["polynomial", "cosine", "constant"]


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How to optimise.

    Attributes:
        optimiser: `adamw` (decoupled weight decay), `adam` (decay added to the gradient) or `sgd`.
        learning_rate: at the start of the schedule, after the warm-up.
        scales: prefix of parameter names -> factor on the learning rate; the longest prefix counts.
            A pretrained encoder at a tenth is `{"encoder.": 0.1}`.
        weight_decay: of the decayed parameters.
        decayed: `all`, or `matrices`: no decay on norms, biases and scales (fewer than two
            dimensions).
        momentum: of `sgd`; the others ignore it.
        schedule: `polynomial` (1 - t)^power, `cosine` (1 + cos(pi t)) / 2, or `constant`, where t
            in [0, 1) is the share of the steps after the warm-up that are done.
        power: of the polynomial.
        warmup_steps: of linear growth to the learning rate.
        clip_norm: largest norm of the gradient of all parameters together; None for no limit.
    """

    optimiser: Literal["adamw", "adam", "sgd"]
    learning_rate: float
    scales: Mapping[str, float]
    weight_decay: float
    decayed: Literal["all", "matrices"]
    momentum: float
    schedule: Schedule
    power: float
    warmup_steps: int
    clip_norm: float | None


def learning_rate_factor(
    step: int, *, steps: int, schedule: Schedule, power: float, warmup_steps: int
) -> float:
    """What multiplies the learning rate in step `step` (from 0) of `steps`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(steps - warmup_steps, 1)
    if schedule == "polynomial":
        return math.pow(1 - done, power)
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0


def parameter_groups(network: nn.Module, optimisation: Optimisation) -> list[dict[str, object]]:
    """Trainable parameters by scale and decay, each group with its `scale` of the learning rate.

    Raises:
        InputError: a scale names no parameter, or nothing is trainable.
    """
    names = [name for name, _ in network.named_parameters()]
    for prefix in optimisation.scales:
        if not any(name.startswith(prefix) for name in names):
            raise InputError(
                f"optimisation: no parameter's name starts with {prefix!r}; the network has "
                + ", ".join(sorted({name.split(".")[0] for name in names}))
            )
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            fits = [prefix for prefix in optimisation.scales if name.startswith(prefix)]
            scale = optimisation.scales[max(fits, key=len)] if fits else 1.0
            decays = optimisation.decayed == "all" or parameter.ndim >= 2
            decay = optimisation.weight_decay if decays else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
    if not groups:
        raise InputError("optimisation: the network has no trainable parameter")
    return [
        {"params": parameters, "scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def build_optimiser(network: nn.Module, optimisation: Optimisation) -> Optimizer:
    """The optimiser over `parameter_groups`. Its learning rates are set by `set_learning_rate`."""
    groups = parameter_groups(network, optimisation)
    rate = optimisation.learning_rate
    # one fused kernel a group: a loop over some 200 small tensors costs milliseconds a step
    if optimisation.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=True)
    if optimisation.optimiser == "adam":
        return torch.optim.Adam(groups, lr=rate, fused=True)
    return torch.optim.SGD(groups, lr=rate, momentum=optimisation.momentum, fused=True)


def set_learning_rate(
    optimiser: Optimizer, optimisation: Optimisation, step: int, steps: int
) -> None:
    """Set every group's rate for `step` (from 0) of `steps`: a function of the step alone."""
    factor = learning_rate_factor(
        step,
        steps=steps,
        schedule=optimisation.schedule,
        power=optimisation.power,
        warmup_steps=optimisation.warmup_steps,
    )
    for group in optimiser.param_groups:
        group["lr"] = optimisation.learning_rate * group["scale"] * factor
