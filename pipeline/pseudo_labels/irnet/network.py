"""The edge and displacement network of IRNet (Ahn et al., CVPR 2019) on any feature pyramid.

A frozen trunk gives features, of which one branch makes a map of edges between things and another
the displacement of each cell to the centre of its instance. Both learn from pairs of cells alone.
The published trunk is a ResNet-50 with ImageNet's weights; any other pyramid will do.

Legend: B images, H W pixels, h w cells at the pyramid's finest stride, C_i channels of level i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.encoders.face import Encoder
from pipeline.pseudo_labels.irnet.losses import IGNORE, pair_losses

if TYPE_CHECKING:
    from pipeline.encoders.imagenet import ImageNetPyramid

    Trunk = Encoder | ImageNetPyramid


@dataclass
class LabelledImages:
    """A batch of the edge and displacement network.

    images: (B, 3, H, W) float32, normalised for the encoder.
    labels: (B, H, W) integers, as `labels.LabelRule` makes them.
    image_ids: (B,) int64.
    """

    images: Tensor
    labels: Tensor
    image_ids: Tensor

    def to(self, device: torch.device | str) -> LabelledImages:
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            image_ids=self.image_ids.to(device, non_blocking=True),
        )


class EdgeDisplacementNetwork(nn.Module):
    """Maps at the finest stride of the encoder's pyramid, from every one of its levels.

    The trunk stays in evaluation mode, learns nothing and is not among the saved weights.

    Args:
        encoder: the trunk.
        edge_width: channels that the edge branch makes of each level (IRNet: 32).
        displacement_widths: the same for the displacement branch, finest level first (IRNet: 64,
            128, 256, 256, 256 for its five levels).
        fused_width: of what the displacement branch fuses (IRNet: 256).
        group_width: channels a group of the group norms (IRNet: 8 to 16); divides all widths.
        radius: in cells, of the pairs to learn from (IRNet: 10).

    Raises:
        ValueError: not one displacement width a level.
    """

    mean_displacement: Tensor

    def __init__(
        self,
        *,
        encoder: Trunk,
        edge_width: int,
        displacement_widths: Sequence[int],
        fused_width: int,
        group_width: int,
        radius: int,
    ) -> None:
        super().__init__()
        if len(displacement_widths) != len(encoder.channels):
            raise ValueError(
                f"displacement_widths: {tuple(displacement_widths)} for the encoder's "
                f"{len(encoder.channels)} levels"
            )
        self.trunk = FrozenTrunk(encoder)
        self.stride = encoder.strides[0]
        self.radius = radius
        self.edge = EdgeBranch(encoder.channels, width=edge_width, group_width=group_width)
        self.displacement = DisplacementBranch(
            encoder.channels,
            encoder.strides,
            widths=displacement_widths,
            fused_width=fused_width,
            group_width=group_width,
        )
        self.register_buffer("mean_displacement", torch.zeros(2))

    def forward(self, batch: LabelledImages) -> tuple[Tensor, dict[str, Tensor]]:
        """Edge logits (B, 1, h, w) and the unweighted losses of `pair_losses`."""
        levels = self.trunk(batch.images)
        edge, displacement = self.edge(levels), self.displacement(levels)
        labels = cell_labels(batch.labels, self.stride, edge.shape[-2:])
        losses = pair_losses(edge[:, 0], displacement, labels, radius=self.radius)
        return edge, losses

    @torch.no_grad()
    def infer(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Edges (B, h, w) in [0, 1] and displacements (B, 2, h, w) of images (B, 3, H, W).

        The edge map is the sigmoid of the mean logit of the image and its mirror image; the
        displacement, in cells down and right, is that of the image less the stored mean. Images of
        any size: the last cells may reach over the border, so h = ceil(H / stride).
        """
        height, width = (-(-side // self.stride) for side in images.shape[-2:])
        filled = self.trunk.filled(images)
        levels = self.trunk(filled)
        mirrored = self.edge(self.trunk(filled.flip(-1))).flip(-1)
        edge = ((self.edge(levels) + mirrored).float() / 2).sigmoid()[:, 0]
        displacement = self.displacement(levels).float() - self.mean_displacement[:, None, None]
        return edge[..., :height, :width], displacement[..., :height, :width]

    @torch.no_grad()
    def store_mean_displacement(self, images: Iterable[Tensor]) -> None:
        """Set the mean that `infer` subtracts, over all cells of batches (B, 3, H, W).

        The losses see differences of displacements only, so training leaves their mean open.
        """
        total, cells = torch.zeros(2, dtype=torch.float64), 0
        for batch in images:
            height, width = (-(-side // self.stride) for side in batch.shape[-2:])
            found = self.displacement(self.trunk(self.trunk.filled(batch)))
            displacement = found[..., :height, :width]
            total += displacement.sum(dim=(0, 2, 3), dtype=torch.float64).cpu()
            cells += displacement[:, 0].numel()
        if cells:
            self.mean_displacement.copy_(total / cells)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Take the trunk along to a device or a precision; nothing else would."""
        self.trunk.encoder._apply(fn)
        return super()._apply(fn, recurse)


class FrozenTrunk:
    """An encoder's pyramid as nothing but a function.

    On purpose no `nn.Module`: a module that holds one neither saves, trains nor counts its weights.
    """

    def __init__(self, encoder: Trunk) -> None:
        self.encoder = encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Levels of (B, 3, H, W), finest first."""
        return self.encoder.pyramid(images)

    def filled(self, images: Tensor) -> Tensor:
        """Images grown to the right and below, by their last pixels, to whole coarsest cells."""
        down, right = (-side % max(self.encoder.strides) for side in images.shape[-2:])
        return functional.pad(images, (0, right, 0, down), mode="replicate")

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenTrunk:
        """Copies of a network (an average of weights, say) share the one trunk."""
        return self


class EdgeBranch(nn.Module):
    """Every level reduced, brought to the finest size, and one logit a cell of all together."""

    def __init__(self, channels: Sequence[int], *, width: int, group_width: int) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(reduction(found, width, group_width) for found in channels)
        self.logit = nn.Conv2d(len(channels) * width, 1, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i) -> (B, 1, h, w)."""
        return self.logit(gathered(self.reduce, levels))


class DisplacementBranch(nn.Module):
    """Coarse levels fused at the size of the finest of them, then with the finest level."""

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        widths: Sequence[int],
        fused_width: int,
        group_width: int,
    ) -> None:
        super().__init__()
        self.fine = sum(stride == strides[0] for stride in strides)  # levels at the finest stride
        self.reduce = nn.ModuleList(
            reduction(found, width, group_width)
            for found, width in zip(channels, widths, strict=True)
        )
        coarse = sum(widths[self.fine :])
        self.fuse_coarse = reduction(coarse, fused_width, group_width) if coarse else None
        joined = sum(widths[: self.fine]) + (fused_width if coarse else 0)
        self.fuse = reduction(joined, fused_width, group_width)
        self.out = nn.Conv2d(fused_width, 2, 1, bias=False)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, C_i, h_i, w_i) -> (B, 2, h, w) in cells."""
        found = gathered(self.reduce[: self.fine], levels[: self.fine])
        if self.fuse_coarse is not None:
            coarse = gathered(self.reduce[self.fine :], levels[self.fine :])
            coarse = enlarged(self.fuse_coarse(coarse), found.shape[-2:])
            found = torch.cat([found, coarse], dim=1)
        return self.out(self.fuse(found))


def reduction(channels: int, width: int, group_width: int) -> nn.Sequential:
    """1x1 convolution, group norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 1, bias=False),
        nn.GroupNorm(width // group_width, width),
        nn.ReLU(),
    )


def gathered(layers: Iterable[nn.Module], levels: Sequence[Tensor]) -> Tensor:
    """Each layer's answer to its level, at the size of the first, one after another."""
    found = [layer(level) for layer, level in zip(layers, levels, strict=True)]
    return torch.cat([enlarged(of_level, found[0].shape[-2:]) for of_level in found], dim=1)


def enlarged(features: Tensor, size: torch.Size) -> Tensor:
    if features.shape[-2:] == size:
        return features
    return functional.interpolate(features, size, mode="bilinear", align_corners=False)


def cell_labels(labels: Tensor, stride: int, size: torch.Size) -> Tensor:
    """The labels (B, H, W) in the middle of each of h x w cells; none where that lies outside."""
    labels = functional.pad(labels, (0, stride, 0, stride), value=IGNORE)
    middle = labels[:, stride // 2 :: stride, stride // 2 :: stride]
    return middle[:, : size[0], : size[1]]
