"""From an encoder's pyramid to the unit-length pixel features that texts are compared with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from pipeline.layers import coordinate_grid, to_map


class VisualProjection(nn.Module):
    """1x1 convolutions of the chosen pyramid levels, summed at the finest of them, L2-normalised.

    TRIS uses the last level alone. Two options are ours, for small encoders: several `levels` give
    a finer response map, and `coordinates` gives each pixel its own place, which position words
    ("left", "top") need when the receptive field is smaller than the image. Adding a learned
    linear map of (x, y) is the same function as two more input channels of the convolution.
    """

    def __init__(
        self, *, channels: Sequence[int], levels: Sequence[int], hidden: int, coordinates: bool
    ) -> None:
        super().__init__()
        if not levels:
            raise ValueError("levels must name at least one level of the encoder's pyramid")
        self.levels = tuple(levels)
        self.depth = len(channels)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels[i], hidden, 1) for i in levels)
        self.coordinates = nn.Linear(2, hidden, bias=False) if coordinates else None

    def start_from(self, weight: Tensor, bias: Tensor) -> None:
        """Let the encoder's last level be read by `weight` (hidden, C), and all else add nothing.

        Raises: ValueError if the last level is not the last of `levels`.
        """
        last = self.convolutions[-1]
        assert isinstance(last, nn.Conv2d)
        if self.levels[-1] not in (-1, self.depth - 1):
            raise ValueError(f"projection clip needs the last level at the end of {self.levels}")
        for parameter in self.parameters():
            parameter.zero_()
        last.weight.copy_(weight[:, :, None, None])
        if last.bias is not None:
            last.bias.copy_(bias)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Pyramid, finest level first, to (B, hidden, h, w) float32, unit length over channels."""
        maps = [
            convolution(pyramid[level])
            for level, convolution in zip(self.levels, self.convolutions, strict=True)
        ]
        finest = max(maps, key=lambda features: features.shape[-2] * features.shape[-1])
        size = finest.shape[-2:]
        total = finest
        for features in maps:
            if features is finest:
                continue
            if features.shape[-2:] != size:
                features = functional.interpolate(
                    features, size, mode="bilinear", align_corners=False
                )
            total = total + features
        if self.coordinates is not None:
            grid = self.coordinates(coordinate_grid(*size, like=total))
            total = total + to_map(grid[None], *size)
        return functional.normalize(total.float(), dim=1)
