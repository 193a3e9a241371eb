"""Pixel features: levels, sizes, coordinates."""

from __future__ import annotations

import pytest
import torch

from pipeline.localizers.projection import VisualProjection

PYRAMID = [torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4), torch.randn(2, 8, 4, 4)]


def projection(*levels: int, coordinates: bool = False) -> VisualProjection:
    torch.manual_seed(0)
    return VisualProjection(channels=(4, 6, 8), levels=levels, hidden=5, coordinates=coordinates)


@pytest.mark.parametrize(
    ("levels", "side"), [((-1,), 4), ((2,), 4), ((1, 2), 4), ((0, 2), 8), ((2, 0), 8)]
)
def test_the_map_has_the_size_of_the_finest_level(levels: tuple[int, ...], side: int) -> None:
    features = projection(*levels)(PYRAMID)
    assert features.shape == (2, 5, side, side)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2, side, side))


def test_every_named_level_counts_and_no_other() -> None:
    module = projection(0, 2)
    before = module(PYRAMID)
    for level, matters in ((0, True), (1, False), (2, True)):
        changed = [features + (index == level) for index, features in enumerate(PYRAMID)]
        assert torch.allclose(module(changed), before) is not matters


def test_only_coordinates_tell_equal_pixels_apart() -> None:
    flat = [torch.ones_like(features) for features in PYRAMID]
    assert projection(2)(flat).std(dim=(-1, -2)).max() < 1e-6
    placed = projection(2, coordinates=True)(flat)
    assert placed.std(dim=-1).max() > 1e-3
    assert placed.std(dim=-2).max() > 1e-3


def test_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="levels"):
        projection()
