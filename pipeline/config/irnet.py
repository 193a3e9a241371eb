"""IRNet among the refiners: what it learns from, its network, its training, its walk."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.section import Count, MisfitError, NonNegative, Positive, Section, Share
from pipeline.config.training import Optimisation

BelowOne = Annotated[float, Field(ge=0, lt=1)]


class IrnetLabels(Section):
    """What is surely a referent and surely nobody's, by the dense CRF of ``pseudo_labels.crf``."""

    foreground: Annotated[float, Field(gt=0, lt=1)]
    background: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _background_is_weaker(self) -> IrnetLabels:
        if self.background > self.foreground:
            raise MisfitError(
                "background", self.background, f"foreground {self.foreground:g} or less"
            )
        return self


class IrnetNetwork(Section):
    """Widths of the two branches, and how far the pairs of cells reach that teach them."""

    edge_width: Count
    displacement_widths: Annotated[list[Count], Field(min_length=1)]
    fused_width: Count
    group_width: Count
    radius: Annotated[int, Field(ge=2)]

    @model_validator(mode="after")
    def _groups_are_whole(self) -> IrnetNetwork:
        for name in ("edge_width", "displacement_widths", "fused_width"):
            given = getattr(self, name)
            widths = given if isinstance(given, list) else [given]
            if any(width % self.group_width for width in widths):
                raise MisfitError(name, given, f"a multiple of group_width {self.group_width}")
        return self


class IrnetLossWeights(Section):
    foreground_affinity: NonNegative
    background_affinity: NonNegative
    negative_affinity: NonNegative
    foreground_displacement: NonNegative
    background_displacement: NonNegative


class IrnetTraining(Optimisation):
    """``batch_size`` counts images; ``displacement_scale`` is that of its branch's rate."""

    displacement_scale: NonNegative
    epochs: Count
    batch_size: Count
    crop: Annotated[int, Field(ge=16)]
    scales: tuple[Positive, Positive]

    @model_validator(mode="after")
    def _scales_rise(self) -> IrnetTraining:
        if self.scales[0] > self.scales[1]:
            raise MisfitError("scales", list(self.scales), "the least and then the greatest")
        return self


class IrnetWalk(Section):
    """The random walk that spreads evidence up to the edges."""

    radius: Annotated[int, Field(ge=2)]
    beta: NonNegative
    exp_times: Annotated[int, Field(ge=0, le=12)]
    tolerance: BelowOne


class IrnetInstances(Section):
    """From displacements to instances, and from their evidence to masks."""

    refinements: Annotated[int, Field(ge=0)]
    weak: Positive
    background: BelowOne
    fragment: Share
    keep: Literal["all", "best"]


class Irnet(Section):
    """IRNet (Ahn et al., CVPR 2019).

    ``trunk`` names the section of the frozen encoder that gives the features, or torchvision's
    ResNet-50, whose weights ``resnet50`` names (null: random).
    """

    labels: IrnetLabels
    trunk: Literal["encoder", "critic", "resnet50"]
    resnet50: Literal["IMAGENET1K_V1", "IMAGENET1K_V2"] | None
    network: IrnetNetwork
    loss_weights: IrnetLossWeights
    training: IrnetTraining
    walk: IrnetWalk
    instances: IrnetInstances
