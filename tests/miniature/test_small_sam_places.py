"""What the small SAM's embedding is asked about each place of a scene."""

from __future__ import annotations

from math import log

import pytest
import torch

from pipeline.miniature.small_sam_places import UNIT, Places, centres_of


def labels(side: int = 32) -> torch.Tensor:
    """One scene: object 1 on the left half of the upper half, object 2 beside it."""
    scene = torch.zeros(1, side, side, dtype=torch.uint8)
    scene[:, : side // 2, : side // 2] = 1
    scene[:, : side // 2, side // 2 :] = 2
    return scene


def test_centres_seen_from_their_places() -> None:
    owner = torch.zeros(1, 8, 8, dtype=torch.int64)
    owner[0, 2:5, 1:4] = 1
    x, y = centres_of(owner)[0]
    assert x[3, 2] == y[3, 2] == 0
    assert x[2, 1] == y[2, 1] == pytest.approx(1 / 8)
    assert x[4, 3] == y[4, 3] == pytest.approx(-1 / 8)


def test_each_scene_has_its_own_centres() -> None:
    several = torch.cat([labels(8), torch.rot90(labels(8), 1, (1, 2))]).long()
    for one, both in zip(several, centres_of(several), strict=True):
        assert torch.allclose(centres_of(one[None])[0], both)


def test_an_embedding_that_tells_nothing() -> None:
    losses = Places(8)(torch.zeros(1, 8, 4, 4), labels())
    assert losses["foreground"].item() == pytest.approx(log(2))
    assert losses["edges"].item() == pytest.approx(2 * log(2))
    # both objects are 8 x 8 of 16 x 16 places: 2 places from the centre in the mean, in x and in y
    assert losses["centres"].item() == pytest.approx((2 + 2) / 16 / UNIT)


def test_an_embedding_that_tells_all() -> None:
    """Every cell with a channel of its own: the layer can say of each place what is true."""
    embedding = torch.eye(16).reshape(1, 16, 4, 4)
    places = Places(16)
    optimiser = torch.optim.Adam(places.parameters(), lr=0.1)
    for _ in range(400):
        losses = places(embedding, labels())
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    assert losses["foreground"] < 0.01
    assert losses["edges"] < 0.02
    assert losses["centres"] < 0.2


def test_patches_whose_side_is_no_multiple_of_four() -> None:
    """36 px in 4 x 4 cells: 16 places of 2.25 px a side."""
    losses = Places(8)(torch.zeros(1, 8, 4, 4), labels(36))
    assert losses["centres"].item() == pytest.approx((2 + 2) / 16 / UNIT)


def test_a_scene_of_nothing() -> None:
    losses = Places(8)(torch.zeros(1, 8, 4, 4), torch.zeros(1, 32, 32, dtype=torch.uint8))
    assert losses["centres"] == 0 and all(torch.isfinite(loss) for loss in losses.values())
