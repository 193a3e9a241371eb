"""Batches of images with label maps, for IRNet's edge and displacement network.

B images, H x W the size of a crop. Batch number n is a pure function of (seed, n), as in `batches`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.pseudo_labels.irnet import LabelledImages
from pipeline.pseudo_labels.irnet.losses import IGNORE
from pipeline.records import ImageRecord
from pipeline.safety import InputError
from pipeline.training import augmentation
from pipeline.training.order import ImageOrder
from pipeline.training.seeds import AUGMENT, generator_of
from pipeline.training.source import ReadImage

if TYPE_CHECKING:
    from pipeline.pseudo_labels.irnet.network import Trunk

ReadLabels = Callable[[ImageRecord], NDArray[np.uint8]]


class LabelledImageBatches:
    """A `BatchSource` of random crops: rescaled, cropped, half of them mirrored.

    An epoch shows every image once. A crop that reaches over the image shows the mean colour there,
    which is ignored, as everything that `read_labels` calls so.

    Args:
        images: all of them are shown.
        read_image: the (H, W, 3) uint8 RGB pixels of a record.
        read_labels: its (H, W) label map, as `LabelRule` makes it.
        encoder: its `mean` and `std` are used, no weights.
        size: (H, W) in pixels of the crops (IRNet: 512, 512).
        scales: the least and the greatest factor on the size of an image (IRNet: 0.5, 1.5).
        batch_size: images a batch; batches differ in size by at most one.

    Raises:
        InputError: there are no images.
    """

    def __init__(
        self,
        images: Sequence[ImageRecord],
        *,
        read_image: ReadImage,
        read_labels: ReadLabels,
        encoder: Trunk,
        size: tuple[int, int],
        scales: tuple[float, float],
        batch_size: int,
        seed: int,
    ) -> None:
        if not images:
            raise InputError("training: there are no images; check the split and its tables")
        # by key: the order of the rows of a table must not matter
        self._images = sorted(images, key=lambda record: record.image_id)
        self._read_image, self._read_labels = read_image, read_labels
        self._mean = torch.tensor(encoder.mean)[:, None, None]
        self._std = torch.tensor(encoder.std)[:, None, None]
        self._size, self._scales, self._seed = size, scales, seed
        codes = np.arange(len(self._images))
        self._order = ImageOrder(codes, batch_size=batch_size, texts=1, seed=seed)
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._order)

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[LabelledImages]:
        """Batches start .. stop-1; process `rank` gets every world-th image."""
        return (self.batch(number, rank, world) for number in range(start, stop))

    def prepare(self, batch: LabelledImages) -> LabelledImages:
        """The batch as it is: crops are made of normalised images."""
        return batch

    def batch(self, number: int, rank: int, world: int) -> LabelledImages:
        """Batch `number`, counted through all epochs."""
        epoch, place = divmod(number, len(self))
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._order.epoch(epoch))
        records = [self._images[index] for index in self._epoch[1][place][rank::world]]
        if not records:
            raise InputError(
                f"training: batch {place} has fewer images than the {world} processes; "
                "use a larger batch_size or fewer devices"
            )
        images, labels = zip(*(self._crop(record, epoch) for record in records), strict=True)
        ids = torch.tensor([record.image_id for record in records])
        return LabelledImages(torch.stack(images), torch.stack(labels), ids)

    def whole(self) -> Iterator[Tensor]:
        """Every image as it is, (1, 3, H, W) normalised, for the mean displacement."""
        for record in self._images:
            yield self._seen(self._pixels(record))[None]

    def _crop(self, record: ImageRecord, epoch: int) -> tuple[Tensor, Tensor]:
        """A crop (3, H, W) float32, normalised, and its labels (H, W) int64."""
        rng = generator_of(AUGMENT, self._seed, epoch, record.image_id)
        scale, mirrored, down, right = (
            rng.uniform(*self._scales),
            rng.random() < 0.5,
            *rng.random(2),
        )
        pixels, labels = self._pixels(record), torch.from_numpy(np.array(self._read_labels(record)))
        if labels.shape != pixels.shape[1:]:
            raise InputError(
                f"image {record.image_id}: labels of {tuple(labels.shape)} for pixels of "
                f"{tuple(pixels.shape[1:])}; make the labels again"
            )
        height, width = (max(1, round(side * scale)) for side in labels.shape)
        image = self._seen(augmentation.resize(pixels, (height, width)))
        labels = functional.interpolate(labels[None, None], (height, width), mode="nearest-exact")[
            0
        ]
        top, left = _start(height, self._size[0], down), _start(width, self._size[1], right)
        image = _cut(image, top, left, self._size, 0)  # the mean colour
        labels = _cut(labels.long(), top, left, self._size, IGNORE)
        if mirrored:
            image, labels = image.flip(-1), labels.flip(-1)
        return image, labels[0]

    def _pixels(self, record: ImageRecord) -> Tensor:
        # a copy: what a cache keeps is read-only
        return torch.from_numpy(np.array(self._read_image(record))).permute(2, 0, 1)

    def _seen(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self._mean) / self._std


def _start(side: int, wanted: int, share: float) -> int:
    """First pixel of a window of `wanted` pixels at a random place; `share` in [0, 1).

    Along a side that is too short the whole of it lies at a random place of the window, whose first
    pixel then is negative.
    """
    if side >= wanted:
        return int(share * (side - wanted + 1))
    return -int(share * (wanted - side + 1))


def _cut(part: Tensor, top: int, left: int, size: tuple[int, int], fill: int) -> Tensor:
    """The window (C, *size) of (C, h, w), with `fill` where it reaches over it."""
    height, width = part.shape[-2:]
    over = [-left, left + size[1] - width, -top, top + size[0] - height]
    filled = functional.pad(part, [max(0, pixels) for pixels in over], value=fill)
    top, left = max(0, top), max(0, left)
    return filled[:, top : top + size[0], left : left + size[1]]
