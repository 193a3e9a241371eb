"""Trained networks at work: each image is encoded once for all its expressions.

Images come as uint8 RGB of any size with their texts; they are squashed to the encoder's square and
what comes out is at the map's own resolution (responses) or at the image's size (masks). Memory
does not grow with the number of images.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from pipeline.layers import padded_rows
from pipeline.training.phrases import mirrored_phrase
from pipeline.training.precision import Precision, resolve_precision

Item = tuple[NDArray[np.uint8], Sequence[str]]  # an image (H, W, 3) and its expressions
CuesOf = Callable[[str], Sequence[str]]
# an image and its expressions, each with its cues after it
View = tuple[NDArray[np.uint8], Sequence[Sequence[str]]]
Look = Callable[[Iterable[View], int | None, str], Iterator[NDArray[np.float32]]]


def device_of(accelerator: Literal["auto", "cpu", "gpu"]) -> torch.device:
    """The first GPU if there is one and it is wanted, else the processor."""
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def computes_in_bf16(accelerator: Literal["auto", "cpu", "gpu"], precision: Precision) -> bool:
    """Whether a network of this precision is trained, and so used, in bfloat16 on this machine."""
    kind: Literal["cpu", "gpu"] = "gpu" if device_of(accelerator).type == "cuda" else "cpu"
    return resolve_precision(precision, kind) == "bf16"


class Viewer:
    """A localizer or segmentor in evaluation mode.

    Args:
        network: has `encoder`, `encode(images)` and `respond` or `segment`.
        size: side in pixels of the square that images are resized to.
        images_per_batch: images that are encoded together.
        bf16: whether to compute in bfloat16 (autocast), as networks trained so expect.
        mirror: whether to average with what is seen in the mirrored image, sentences mirrored too.
            A sentence that cannot be mirrored, or a cue of which cannot, is answered from the image
            alone.
        cues: the cues of an expression, equally many of all, for a localizer that reads them.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int,
        device: torch.device,
        images_per_batch: int,
        bf16: bool,
        mirror: bool,
        cues: CuesOf | None = None,
    ) -> None:
        self._network: Any = network.eval().to(device)
        self._network.to(memory_format=torch.channels_last)
        self._size = (size, size)
        self._device = device
        self._images_per_batch = images_per_batch
        self._bf16 = bf16
        self._mirror = mirror
        self._cues = cues
        encoder = self._network.encoder
        self._mean = torch.tensor(encoder.mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(encoder.std, device=device).view(1, 3, 1, 1) * 255

    def respond(
        self, items: Iterable[Item], *, total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """Image after image, the raw responses (N, h, w) of its N expressions."""
        return self._both_ways(self._respond, items, total, title)

    def segment(
        self, items: Iterable[Item], *, total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """Image after image, the logits (N, H, W) of its N expressions at the image's size."""
        return self._both_ways(self._segment, items, total, title)

    def _both_ways(
        self, look: Look, items: Iterable[Item], total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        """What `look` sees, averaged with the mirrored view where one is wanted and can be told."""
        said = ((image, [self._phrase(text) for text in texts]) for image, texts in items)
        if not self._mirror:
            yield from look(said, total, title)
            return
        waiting: deque[list[list[str] | None]] = deque()

        def views() -> Iterator[View]:
            for image, phrases in said:
                turned = [mirrored_phrase(phrase) for phrase in phrases]
                waiting.append(turned)
                yield image, phrases
                yield (
                    image[:, ::-1],
                    [
                        phrase if other is None else other
                        for phrase, other in zip(phrases, turned, strict=True)
                    ],
                )

        found = look(views(), None if total is None else 2 * total, title)
        for maps in found:
            other = next(found)[..., ::-1]
            told = np.array([phrase is not None for phrase in waiting.popleft()])[:, None, None]
            yield np.where(told, (maps + other) / 2, maps)

    def _phrase(self, text: str) -> Sequence[str]:
        """An expression and its cues."""
        return [text] if self._cues is None else [text, *self._cues(text)]

    @torch.inference_mode()
    def _respond(
        self, items: Iterable[View], total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        for features, tokens, owner, counts, _ in self._encoded(items, total, title):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                told = [] if self._cues is None else [tokens[:, 1:]]
                maps = self._network.respond(features, tokens[:, 0], owner, *told)
            maps = maps[:, 0].float().cpu()
            for mine in maps[: sum(counts)].split(counts):
                yield mine.numpy()

    @torch.inference_mode()
    def _segment(
        self, items: Iterable[View], total: int | None, title: str
    ) -> Iterator[NDArray[np.float32]]:
        for features, tokens, owner, counts, sizes in self._encoded(items, total, title):
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                logits = self._network.segment(features, tokens[:, 0], owner, self._size).float()
            for mine, size in zip(logits[: sum(counts)].split(counts), sizes, strict=True):
                if size != self._size:
                    mine = functional.interpolate(mine, size, mode="bilinear", align_corners=False)
                yield mine[:, 0].cpu().numpy()

    @torch.inference_mode()
    def _encoded(
        self, items: Iterable[View], total: int | None, title: str
    ) -> Iterator[tuple[Any, Tensor, Tensor, list[int], list[tuple[int, int]]]]:
        """Batches of M images: features, tokens (N, 1 + C, T) of the texts and their C cues, owner
        (N,), texts and size of each image.

        The last of the N rows may be padding: N is at least the sum of the M numbers of texts.
        """
        stream = iter(items)
        with tqdm(total=total, desc=title, unit="image", mininterval=1.0) as bar:
            while batch := list(islice(stream, self._images_per_batch)):
                images = torch.cat([self._prepared(image) for image, _ in batch])
                texts = [phrase for _, mine in batch for phrase in mine]
                counts = [len(mine) for _, mine in batch]
                owner = torch.arange(len(batch)).repeat_interleave(torch.tensor(counts))
                rows = padded_rows(len(texts))
                owner = functional.pad(owner, (0, rows - len(texts))).to(self._device)
                tokens = self._network.encoder.tokenize([text for said in texts for text in said])
                tokens = tokens.unflatten(0, (len(texts), -1))
                tokens = tokens[torch.arange(rows).clamp(max=len(texts) - 1)].to(self._device)
                images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                    features = self._network.encode(images)
                yield features, tokens, owner, counts, [image.shape[:2] for image, _ in batch]
                bar.update(len(batch))

    def _prepared(self, image: NDArray[np.uint8]) -> Tensor:
        """(1, 3, size, size), normalised for the encoder."""
        pixels = (
            # a copy, for torch takes no view that runs backwards
            torch.tensor(np.array(image, order="C"), device=self._device)
            .permute(2, 0, 1)[None]
            .float()
        )
        if pixels.shape[-2:] != self._size:
            pixels = functional.interpolate(
                pixels, self._size, mode="bilinear", align_corners=False, antialias=True
            )
        return (pixels - self._mean) / self._std
