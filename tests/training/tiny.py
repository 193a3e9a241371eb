"""A data set and networks small enough to train in a test.

As a module, `torchrun -m tests.training.tiny FOLDER AT`, several processes train in FOLDER; before
batch AT the first of them has torchrun told to go.
"""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.records import Batch, Expression, ImageRecord
from pipeline.training.batches import ExpressionBatches
from pipeline.training.loop import fit
from pipeline.training.optimisation import Optimisation

SIDE = 32
COLOURS = ("red", "green", "blue", "grey")
SIDES = ("left", "right", "middle")


class WordEncoder(SimpleNamespace):
    """What batches need of an encoder: one token a word."""

    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    context = 6

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), self.context, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            for place, word in enumerate(text.split()[: self.context]):
                row[place] = 1 + sum(word.encode()) % 60
        return rows


def expressions(images: int = 8) -> list[Expression]:
    """Images of 1, 2, 3, 1, 2, 3... referents with two sentences each."""
    rows: list[Expression] = []
    for image_id in range(images):
        for place in range(1 + image_id % 3):
            ref_id = 10 * image_id + place
            colour = COLOURS[(image_id + place) % 4]
            for number, text in enumerate(
                (f"the {colour} thing", f"{colour} on the {SIDES[place]}")
            ):
                rows.append(
                    Expression(
                        dataset="tiny",
                        split="train",
                        image_id=image_id,
                        ref_id=ref_id,
                        sent_id=2 * ref_id + number,
                        text=text,
                    )
                )
    return rows


def image_records(images: int = 8, side: int = SIDE) -> list[ImageRecord]:
    return [
        ImageRecord(
            dataset="tiny", split="train", image_id=i, file=f"{i}.png", height=side, width=side
        )
        for i in range(images)
    ]


def read_image(record: ImageRecord) -> NDArray[np.uint8]:
    """Noise that depends on the image alone."""
    rng = np.random.default_rng(record.image_id)
    return rng.integers(0, 256, (record.height, record.width, 3), dtype=np.uint8)


def batches(rows: Sequence[Expression] | None = None, **changes: Any) -> ExpressionBatches:
    settings: dict[str, Any] = {
        "read_image": read_image,
        "encoder": WordEncoder(),
        "size": (SIDE, SIDE),
        "batch_size": 5,
        "sampling": "expressions",
        "texts_per_image": 3,
        "distinct_referents": True,
        "negatives": 2,
        "masks": None,
        "augment": [],
        "photometric_strength": 0.2,
        "workers": 0,
        "channels_last": True,
        "seed": 0,
    }
    records = image_records()
    return ExpressionBatches(rows or expressions(), records, **(settings | changes))


class Network(nn.Module):
    """Image and text meet in a product; with dropout and a batch norm, for their state."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU())
        self.words = nn.EmbeddingBag(64, 8, padding_idx=0)
        self.dropout = nn.Dropout(0.3)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        features = self.dropout(self.encoder(batch.images))[batch.owner]
        response = torch.einsum("bchw,nc->bnhw", features, self.words(batch.tokens))
        score = self.log_scale.exp() * response.flatten(2).mean(-1)
        target = (batch.text_ids[:, None] == batch.text_ids).float()
        losses = {
            "match": nn.functional.binary_cross_entropy_with_logits(score, target),
            "size": response.square().mean(),
        }
        return response.diagonal().permute(2, 0, 1)[:, None], losses


WEIGHTS = {"match": 1.0, "size": 0.1}
ADAMW = Optimisation(
    optimiser="adamw",
    learning_rate=0.01,
    scales={"encoder.": 0.1},
    weight_decay=0.01,
    decayed="all",
    momentum=0.9,
    schedule="polynomial",
    power=0.9,
    warmup_steps=0,
    clip_norm=None,
)


def train(folder: Path, network: nn.Module | None = None, **changes: Any) -> nn.Module:
    """Three epochs of `Network` on the CPU; everything lands in `folder`."""
    settings: dict[str, Any] = {
        "batches": batches(),
        "title": "tiny",
        "loss_weights": WEIGHTS,
        "loss_starts": {},
        "optimisation": ADAMW,
        "epochs": 3,
        "ema": None,
        "precision": "32",
        "channels_last": False,
        "accelerator": "cpu",
        "devices": 1,
        "nodes": 1,
        "threads": 1,
        "seed": 0,
        "run_key": "key",
        "checkpoints": folder / "checkpoints",
        "checkpoint_minutes": 60.0,
        "curve_steps": 1,
        "output": folder / "weights.safetensors",
        "curves": folder / "curves.csv",
    }
    network = network or Network()
    fit(network, **(settings | changes))
    return network


def curve(path: Path) -> list[dict[str, str]]:
    """The rows of a curves file without what the clock decides."""
    with open(path) as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]


class Interrupted:
    """A source of batches that does something before it hands out batch `at`."""

    def __init__(self, source: ExpressionBatches, at: int, act: Callable[[], None]) -> None:
        self.source, self.at, self.act = source, at, act

    def __len__(self) -> int:
        return len(self.source)

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[Batch]:
        stream = self.source.stream(start=start, stop=stop, rank=rank, world=world)
        for number, batch in enumerate(stream, start):
            if number == self.at:
                self.act()
            yield batch

    def prepare(self, batch: Batch) -> Batch:
        return self.source.prepare(batch)


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def dismiss_all() -> None:
    """SIGTERM to the one who started us, as a scheduler sends it, and time to pass it on."""
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    first = os.environ["RANK"] == "0"
    train(
        Path(sys.argv[1]),
        batches=Interrupted(batches(), int(sys.argv[2]), dismiss_all) if first else batches(),
        devices=int(os.environ["WORLD_SIZE"]),
    )
