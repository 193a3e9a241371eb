"""torchvision's ResNet-50 as a feature pyramid without texts: the trunk that IRNet was made for.

Five levels, as in IRNet (Ahn et al., CVPR 2019): the stem after its pooling and layers 1-4, at
strides 4, 4, 8, 16, 16. Layer 4 keeps the resolution of layer 3, without dilation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from pipeline.encoders.openclip import NORMALISATIONS


class ImageNetPyramid(nn.Module):
    """Levels of (B, 3, H, W) images; attributes as those of `Encoder`."""

    channels = (64, 256, 512, 1024, 2048)
    strides = (4, 4, 8, 16, 16)
    mean, std = NORMALISATIONS["imagenet"]

    def __init__(self, *, pretrained: str | None, seed: int) -> None:
        """
        Args:
            pretrained: a name of torchvision's (IMAGENET1K_V1 is IRNet's kind), downloaded on first
                use and checked by its hash; None for random weights.
            seed: of random weights.
        """
        super().__init__()
        weights = None if pretrained is None else ResNet50_Weights[pretrained]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            found = resnet50(weights=weights, progress=False)
        first = found.layer4[0]
        first.conv2.stride = first.downsample[0].stride = (1, 1)
        self.stem = nn.Sequential(found.conv1, found.bn1, found.relu, found.maxpool)
        self.layers = nn.ModuleList([found.layer1, found.layer2, found.layer3, found.layer4])

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images -> per level (B, C_i, ceil(H / s_i), ceil(W / s_i))."""
        levels = [self.stem(images)]
        for layer in self.layers:
            levels.append(layer(levels[-1]))
        return levels
