"""Named augmentations of a training sample, random only through the seed that they are given."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

Augmentation = Literal["photometric", "flip"]


def photometric(strength: float) -> v2.Transform:
    """Brightness, contrast and saturation times a factor in [1 - strength, 1 + strength].

    The hue stays: colours are words of the sentences.
    """
    return v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)


def apply(transform: v2.Transform, image: Tensor, mask: Tensor | None, seed: int) -> list[Tensor]:
    """The transform of an image (3, H, W) uint8 and its mask (1, H, W), drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return [part.as_subclass(Tensor) for part in transform(_typed(image, mask))]


def mirror(image: Tensor, mask: Tensor | None) -> list[Tensor]:
    """Image and mask with left and right exchanged; the sentence is `flips.mirrored`'s business."""
    return [functional.horizontal_flip(part).as_subclass(Tensor) for part in _typed(image, mask)]


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(3, H, W) uint8 to another size, bilinear with antialiasing; the image itself if it fits."""
    if tuple(image.shape[-2:]) == size:
        return image
    resized: Tensor = functional.resize(image, list(size), antialias=True)
    return resized


def _typed(image: Tensor, mask: Tensor | None) -> list[Tensor]:
    """As tensors that know what they are, so that a transform treats a mask as a mask."""
    parts: list[Tensor] = [tv_tensors.Image(image)]
    return parts if mask is None else [*parts, tv_tensors.Mask(mask)]
