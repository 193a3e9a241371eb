"""From the configuration to a segmentor: what the registry needs by keyword."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.config import Config
from pipeline.segmentors import SEGMENTORS
from pipeline.steps.inputs import encoder_of

NOT_THE_NETWORK = {
    "method",
    "sam",
    "supervision",
    "no_target",
    "training",
    "loss_weights",
    "consistency",
}


def build_segmentor(config: Config) -> nn.Module:
    """The configured segmentor with its encoder's starting weights; the rest follows the seed."""
    section = config.segmentor
    encoder = encoder_of(config.encoder, seed=config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        network: nn.Module = SEGMENTORS[section.method](
            encoder=encoder, **section.model_dump(exclude=NOT_THE_NETWORK)
        )
    return network
