"""What the loop trains on: any source of numbered batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.records import ImageRecord

ReadImage = Callable[[ImageRecord], NDArray[np.uint8]]


class BatchSource(Protocol):
    """What the loop trains on. Batches are numbered through all epochs: epoch = n // len."""

    def __len__(self) -> int:
        """Batches in an epoch."""
        ...

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[Any]:
        """Batches start .. stop-1; of `world` processes, the share of process `rank`.

        A batch has `to(device)`, and `images` or a length; `image_ids`, where it has them, are
        named when a loss fails.
        """
        ...

    def prepare(self, batch: Any) -> Any:
        """The batch as the network sees it, from the batch on the network's device."""
        ...
