"""From the configuration to IRNet's network, with or without what it has learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.config import Config
from pipeline.pseudo_labels.irnet import EdgeDisplacementNetwork
from pipeline.safety import InputError
from pipeline.steps.inputs import encoder_of, files_of

if TYPE_CHECKING:
    from pipeline.pseudo_labels.irnet.network import Trunk


def build_irnet(config: Config) -> EdgeDisplacementNetwork:
    """The configured network on its frozen trunk; its branches follow the seed.

    Raises:
        InputError: ``displacement_widths`` is not one a level of the trunk.
    """
    section = config.pseudo_labels.irnet
    trunk = _trunk(config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        try:
            return EdgeDisplacementNetwork(encoder=trunk, **section.network.model_dump())
        except ValueError as error:
            raise InputError(f"pseudo_labels.irnet.network.{error}") from None


def demand_irnet(config: Config, run: str) -> None:
    """InputError if the run's refiners do without IRNet: nothing is trained for it then."""
    if "irnet" not in config.pseudo_labels.refine:
        raise InputError(
            f"--run: the refiners of {run!r} are {', '.join(config.pseudo_labels.refine)}; "
            "name irnet in its pseudo_labels.refine, or another run"
        )


def trunk_files(config: Config) -> dict[str, Path]:
    """The files of the trunk if it is a folder of the pipeline's own, by what they are."""
    trunk = config.pseudo_labels.irnet.trunk
    if trunk == "resnet50":
        return {}
    return files_of(config.encoder if trunk == "encoder" else config.critic, name="trunk")


def _trunk(config: Config) -> Trunk:
    section = config.pseudo_labels.irnet
    if section.trunk == "resnet50":
        # torchvision's models take seconds to import, and refiners hardly ever want them
        from pipeline.encoders.imagenet import ImageNetPyramid

        return ImageNetPyramid(pretrained=section.resnet50, seed=config.seed)
    named = config.encoder if section.trunk == "encoder" else config.critic
    return encoder_of(named, seed=config.seed)
