"""Batches are made several times faster than training consumes them.

The real steps `ris train-localizer` and `ris train-segmentor` (of true masks: pseudo-labels are
read from a table of the same form), with their batches timed: the rate at which they are made
against the rate at which the rest of the loop (forward, backward, optimiser, average of weights,
curves) uses them up, on one thread. `machine.workers` is 0, so that both happen in one process, one
after the other. The first epoch decodes every picture; later ones find it in memory. Sums of
processor time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.rows import Row
from benchmarks.world import build_world
from pipeline.records import Batch
from pipeline.steps import train_localizer, train_segmentor
from pipeline.training.batches import ExpressionBatches

FULL = {"images": 288, "epochs": 2}
TINY = {"images": 32, "epochs": 2}
WARM_UP = 2  # batches whose consumption is left out: kernels are chosen, memory is claimed


class Timed:
    """A source of batches that notes the processor time before and after it makes each."""

    def __init__(self, source: ExpressionBatches) -> None:
        self._source = source
        self.images: list[int] = []
        self.clock: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._source)

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[Batch]:
        stream = self._source.stream(start=start, stop=stop, rank=rank, world=world)
        for _ in range(start, stop):
            before = time.process_time()
            batch = next(stream)
            self.clock.append((before, time.process_time()))
            self.images.append(len(batch.images))
            yield batch

    def prepare(self, batch: Batch) -> Batch:
        return self._source.prepare(batch)


def rows(*, images: int, epochs: int) -> list[Row]:
    """Images a second made and consumed, in the first epoch and later."""
    runs = {"weak": {}, "masks": {"segmentor": {"supervision": "masks"}}}
    training = {"epochs": epochs}
    changes: dict[str, Any] = {
        "machine": {"workers": 0},
        "runs": runs,
        "localizer": {"training": training},
        "segmentor": {"training": training},
    }
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        config = build_world(Path(folder), train=images, held_out=1, changes=changes)
        for step, run, name in (
            (train_localizer, "weak", "localizer"),
            (train_segmentor, "masks", "segmentor"),
        ):
            source = timed_step(step, config, run)
            steps = len(source)
            consumed = consumption(source)
            for epoch, part in (
                ("first epoch", slice(0, steps)),
                ("later epochs", slice(steps, None)),
            ):
                made = production(source, part)
                found.append(
                    Row(
                        claim=f"{name}: loading, {epoch}, against training",
                        ours=made,
                        alternative=consumed,
                        unit="images/s",
                        ratio=made / consumed,
                        at_least=1,
                    )
                )
    return found


def timed_step(step: ModuleType, config: Any, run: str) -> Timed:
    """Run a training step as it is, but for the clock around its batches."""
    sources: list[Timed] = []
    make = step.expression_batches

    def timed(*args: Any, **settings: Any) -> Timed:
        sources.append(Timed(make(*args, **settings)))
        return sources[-1]

    with patch.object(step, "expression_batches", timed):
        step.run(config, run=run)
    return sources[0]


def production(source: Timed, part: slice) -> float:
    """Images a second that the source made."""
    seconds = sum(after - before for before, after in source.clock[part])
    return sum(source.images[part]) / seconds


def consumption(source: Timed) -> float:
    """Images a second that training used up between one batch and the next."""
    clock = np.array(source.clock)
    gaps = clock[1:, 0] - clock[:-1, 1]
    return float(sum(source.images[WARM_UP:-1]) / gaps[WARM_UP:].sum())
