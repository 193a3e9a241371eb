"""From the configuration to a localizer: what the registry needs by keyword."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.config import Config, TrisLocalizer
from pipeline.localizers import LOCALIZERS
from pipeline.steps.inputs import encoder_of

NOT_THE_NETWORK = {"method", "training", "loss_weights", "loss_starts"}


def is_judged(section: TrisLocalizer) -> bool:
    """Does the frozen critic have a say in this localizer's training?"""
    return bool({"foreground", "calibration"} & set(section.terms))


def build_localizer(config: Config, *, with_critic: bool) -> nn.Module:
    """The configured localizer with its encoder's starting weights; the rest follows the seed.

    ``with_critic`` is for training; the frozen critic is no part of the localizer's weights.
    """
    section = config.localizer
    terms = section.terms if with_critic else ["classification"]
    encoder = encoder_of(config.encoder, seed=config.seed)
    judged = with_critic and is_judged(section)
    critic = encoder_of(config.critic, seed=config.seed) if judged else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        network: nn.Module = LOCALIZERS[section.method](
            encoder=encoder,
            critic=critic,
            terms=terms,
            **section.model_dump(exclude=NOT_THE_NETWORK),
        )
    return network
