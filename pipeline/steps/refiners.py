"""From the configuration to refiners, ready to be applied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.config import Config
from pipeline.encoders import Encoder
from pipeline.inference import device_of
from pipeline.pseudo_labels import REFINERS, CrfKernels, Refiner
from pipeline.pseudo_labels.irnet import InstanceRule
from pipeline.pseudo_labels.sam_prompt import Prompter
from pipeline.safety import InputError
from pipeline.steps.inputs import encoder_of
from pipeline.steps.irnet_network import build_irnet
from pipeline.training.weights import load_weights


def build_refiners(config: Config, names: Sequence[str], *, irnet: Path | None) -> list[Refiner]:
    """The refiners of these names, in order. ``irnet``: its trained weights, if it is one."""
    section = config.pseudo_labels
    device = device_of(config.machine.accelerator)
    special: dict[str, Callable[[], dict[str, Any]]] = {
        "prms": lambda: {
            **section.prms.model_dump(),
            "critic": _critic(config, device),
            "device": str(device),
        },
        "crf": lambda: {
            **section.crf.model_dump(),
            "kernels": CrfKernels(**section.crf.kernels.model_dump()),
        },
        "irnet": lambda: _irnet(config, irnet, device),
        "sam_prompt": lambda: {**section.sam_prompt.model_dump(), "sam": _sam(config)},
    }

    def keywords(name: str) -> dict[str, Any]:
        found: dict[str, Any] = getattr(section, name).model_dump()
        return found

    return [
        REFINERS[name](**(special[name]() if name in special else keywords(name))) for name in names
    ]


def _critic(config: Config, device: torch.device) -> Encoder | None:
    """The frozen CLIP on the device, if maps are chosen by it."""
    if config.pseudo_labels.prms.combine == "mean":
        return None
    return encoder_of(config.critic, seed=config.seed).eval().to(device)


def _sam(config: Config) -> Prompter:
    # segment_anything is not imported where it is not asked for
    from pipeline.steps.sam_segmentor import prompter_of

    return prompter_of(config)


def _irnet(config: Config, weights: Path | None, device: torch.device) -> dict[str, Any]:
    if weights is None:
        raise InputError("pseudo_labels.refine: irnet has no weights; run `ris train-irnet` first")
    section = config.pseudo_labels.irnet
    network = build_irnet(config)
    load_weights(network, weights)
    rule = InstanceRule(**section.walk.model_dump(), **section.instances.model_dump())
    return {"network": network.to(device), "rule": rule, "device": str(device)}
