"""From the configuration to a network: what the registries need by keyword."""

from __future__ import annotations

from typing import Any

from torch import nn

from pipeline.config import Config
from pipeline.localizers import LOCALIZERS
from pipeline.segmentors import SEGMENTORS
from pipeline.steps.inputs import encoder_of

NOT_THE_NETWORK = {"method", "supervision", "training", "loss_weights", "loss_starts", "mirror"}


def build_localizer(config: Config, *, with_critic: bool) -> nn.Module:
    """The configured localizer with its encoder's starting weights.

    ``with_critic`` is for training; the frozen critic is no part of the localizer's weights.
    """
    section = config.localizer
    terms = section.terms if with_critic else ["classification"]
    judged = bool({"foreground", "calibration"} & set(terms))
    network: nn.Module = LOCALIZERS[section.method](
        encoder=encoder_of(config.encoder, seed=config.seed),
        critic=encoder_of(config.critic, seed=config.seed) if judged else None,
        terms=terms,
        **_keywords(section.model_dump()),
    )
    return network


def build_segmentor(config: Config) -> nn.Module:
    """The configured segmentor with its encoder's starting weights."""
    section = config.segmentor
    network: nn.Module = SEGMENTORS[section.method](
        encoder=encoder_of(config.encoder, seed=config.seed), **_keywords(section.model_dump())
    )
    return network


def _keywords(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in NOT_THE_NETWORK}
