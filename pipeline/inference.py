"""Trained networks at work: each image is encoded once for all its expressions.

Images come as uint8 RGB of any size with their texts; they are squashed to the encoder's square and
what comes out is at the map's own resolution (responses) or at the image's size (masks). Memory
does not grow with the number of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

Item = tuple[NDArray[np.uint8], Sequence[str]]  # an image (H, W, 3) and its expressions


def device_of(accelerator: Literal["auto", "cpu", "gpu"]) -> torch.device:
    """The first GPU if there is one and it is wanted, else the processor."""
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


class Viewer:
    """A localizer or segmentor in evaluation mode.

    Args:
        network: has `encoder`, `encode(images)` and `respond` or `segment`.
        size: side in pixels of the square that images are resized to.
        images_per_batch: images that are encoded together.
        bf16: whether to compute in bfloat16 (autocast), as networks trained so expect.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int,
        device: torch.device,
        images_per_batch: int,
        bf16: bool,
    ) -> None:
        self._network: Any = network.eval().to(device)
        self._network.to(memory_format=torch.channels_last)
        self._size = (size, size)
        self._device = device
        self._images_per_batch = images_per_batch
        self._bf16 = bf16
        encoder = self._network.encoder
        self._mean = torch.tensor(encoder.mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(encoder.std, device=device).view(1, 3, 1, 1) * 255

    @torch.inference_mode()
    def respond(
        self, items: Iterable[Item], *, total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """Image after image, the raw responses (N, h, w) of its N expressions."""
        for features, tokens, owner, sizes in self._encoded(items, total, title):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                maps = self._network.respond(features, tokens, owner)[:, 0].float().cpu()
            for index in range(len(sizes)):
                yield maps[(owner == index).cpu()].numpy()

    @torch.inference_mode()
    def segment(
        self, items: Iterable[Item], *, total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """Image after image, the logits (N, H, W) of its N expressions at the image's size."""
        for features, tokens, owner, sizes in self._encoded(items, total, title):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                logits = self._network.segment(features, tokens, owner, self._size).float()
            for index, size in enumerate(sizes):
                mine = logits[owner == index]
                if size != self._size:
                    mine = functional.interpolate(mine, size, mode="bilinear", align_corners=False)
                yield mine[:, 0].cpu().numpy()

    @torch.inference_mode()
    def _encoded(
        self, items: Iterable[Item], total: int | None, title: str
    ) -> Iterator[tuple[Any, Tensor, Tensor, list[tuple[int, int]]]]:
        """Batches of images: features, tokens (N, T), owner (N,) and the images' sizes."""
        stream = iter(items)
        with tqdm(total=total, desc=title, unit="image", mininterval=1.0) as bar:
            while batch := list(islice(stream, self._images_per_batch)):
                images = torch.cat([self._prepared(image) for image, _ in batch])
                texts = [text for _, mine in batch for text in mine]
                owner = torch.tensor(
                    [index for index, (_, mine) in enumerate(batch) for _ in mine],
                    dtype=torch.int64,
                    device=self._device,
                )
                tokens = self._network.encoder.tokenize(texts).to(self._device)
                images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                    features = self._network.encode(images)
                yield features, tokens, owner, [image.shape[:2] for image, _ in batch]
                bar.update(len(batch))

    def _prepared(self, image: NDArray[np.uint8]) -> Tensor:
        """(1, 3, size, size), normalised for the encoder."""
        pixels = (
            torch.tensor(np.ascontiguousarray(image), device=self._device)
            .permute(2, 0, 1)[None]
            .float()
        )
        if pixels.shape[-2:] != self._size:
            pixels = functional.interpolate(
                pixels, self._size, mode="bilinear", align_corners=False, antialias=True
            )
        return (pixels - self._mean) / self._std
