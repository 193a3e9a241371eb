"""Trained networks at work: batches of any number of texts, in few shapes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.inference import Item, Viewer

SIDE = 8


class Sums(nn.Module):
    """A network whose logit is ten times its image's brightness and the length of the text."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = SimpleNamespace(mean=(0.0,) * 3, std=(1.0,) * 3, tokenize=lengths)
        self.rows: list[int] = []

    def encode(self, images: Tensor) -> Tensor:
        return images.mean(dim=(1, 2, 3)) * 255

    def segment(self, features: Tensor, tokens: Tensor, owner: Tensor, size: Any) -> Tensor:
        assert len(tokens) == len(owner)
        self.rows.append(len(owner))
        said = 10 * features[owner] + tokens[:, 0]
        return said[:, None, None, None].expand(-1, 1, *size)

    def respond(self, features: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        return self.segment(features, tokens, owner, (2, 2))


def lengths(texts: list[str]) -> Tensor:
    return torch.tensor([[len(text)] for text in texts])


def viewer(network: nn.Module) -> Viewer:
    return Viewer(
        network, size=SIDE, device=torch.device("cpu"), images_per_batch=4, bf16=False, mirror=False
    )


@pytest.mark.parametrize("task", ["segment", "respond"])
def test_every_image_gets_its_own_texts_back(task: str) -> None:
    """Whatever rows a batch is filled up with, none of them comes out."""
    rng = np.random.default_rng(0)
    counts = [int(count) for count in rng.integers(1, 30, 22)]
    items: list[Item] = [
        (np.full((SIDE, SIDE, 3), index, np.uint8), ["x" * (1 + k % 7) for k in range(count)])
        for index, count in enumerate(counts)
    ]
    network = Sums()
    found = list(getattr(viewer(network), task)(items, total=None, title=task))
    assert [len(maps) for maps in found] == counts
    for index, (maps, (_, texts)) in enumerate(zip(found, items, strict=True)):
        assert maps[:, 0, 0] == pytest.approx([10 * index + len(text) for text in texts], rel=1e-4)
    assert len(set(network.rows)) < len(network.rows)
