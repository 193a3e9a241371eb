"""From the configuration to a localizer: what the registry needs by keyword, and its losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pipeline.config import Config
from pipeline.config.localizers import Ehin, Localizer
from pipeline.config.pcnet import Pcnet
from pipeline.localizers import LOCALIZERS
from pipeline.localizers.ehin import EhinLocalizer
from pipeline.steps.inputs import encoder_of

NOT_THE_NETWORK = {"method", "training", "loss_weights", "loss_starts"}
TRIS_ALONE = {"alpha", "prompt_texts"}


def _own(config: Config) -> Localizer | Ehin | Pcnet:
    """The section with the losses of the configured method."""
    sections: dict[str, Ehin | Pcnet] = {"ehin": config.ehin, "pcnet": config.pcnet}
    return sections.get(config.localizer.method, config.localizer)


def loss_weights(config: Config) -> dict[str, float]:
    """The weights of the losses that the configured localizer computes, by name."""
    section = _own(config)
    weights = section.loss_weights.model_dump()
    return {term: weights[term] for term in section.terms}


def loss_starts(config: Config) -> dict[str, float]:
    """From which share of the steps each of these losses counts."""
    section = _own(config)
    starts = section.loss_starts.model_dump()
    return {term: starts[term] for term in starts if term in section.terms}


def is_judged(config: Config) -> bool:
    """Does the frozen critic have a say in this localizer's training?"""
    if config.localizer.method == "ehin":
        return EhinLocalizer.needs_critic(config.ehin.terms, config.ehin.similarity)
    if config.localizer.method == "pcnet":
        return False
    return bool({"foreground", "calibration"} & set(config.localizer.terms))


def build_localizer(config: Config, *, with_critic: bool) -> nn.Module:
    """The configured localizer with its encoder's starting weights; the rest follows the seed.

    ``with_critic`` is for training; the frozen critic is no part of the localizer's weights.
    """
    encoder = encoder_of(config.encoder, seed=config.seed)
    judged = with_critic and is_judged(config)
    critic = encoder_of(config.critic, seed=config.seed) if judged else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        network: nn.Module = LOCALIZERS[config.localizer.method](
            encoder=encoder,
            critic=critic,
            **_settings(config, training=with_critic),
        )
    return network


def _settings(config: Config, *, training: bool) -> dict[str, Any]:
    """The keyword arguments of the method's class; a network that only answers has few terms."""
    shared = config.localizer
    if shared.method == "ehin":
        own = config.ehin
        return {
            **shared.model_dump(exclude=NOT_THE_NETWORK | TRIS_ALONE),
            **own.hipm.model_dump(),
            **own.eclm.model_dump(),
            "similarity": own.similarity,
            "terms": own.terms if training else [],
        }
    if shared.method == "pcnet":
        return {
            **shared.model_dump(exclude=NOT_THE_NETWORK | TRIS_ALONE),
            **_pcnet(config.pcnet),
            "terms": config.pcnet.terms if training else [],
        }
    return {
        **shared.model_dump(exclude=NOT_THE_NETWORK),
        "terms": shared.terms if training else ["classification"],
    }


def _pcnet(section: Pcnet) -> dict[str, Any]:
    """The keyword arguments that PCNet alone takes."""
    shrinking, disambiguation = section.shrinking, section.disambiguation
    return {
        **section.crm.model_dump(),
        "ras_alignment": shrinking.alignment,
        "background": shrinking.background,
        "earlier": shrinking.earlier,
        "iad_alignment": disambiguation.alignment,
        "form": disambiguation.form,
        "scores": disambiguation.scores,
        "iad_temperature": disambiguation.temperature,
        "others": disambiguation.others,
    }
