"""The shared layers against torch's own, and at their edges."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.layers import (
    PixelNorm,
    coordinate_grid,
    masked_softmax,
    padded_rows,
    to_map,
    to_pixels,
    trim_words,
)


def test_pixel_norm_is_instance_norm() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 6, 3, 5) * 4 + 2
    reference, norm = nn.InstanceNorm2d(6, affine=True), PixelNorm(6)
    with torch.no_grad():
        for parameters in (reference, norm):
            parameters.weight.copy_(torch.arange(6) + 1.0)
            parameters.bias.copy_(torch.arange(6) - 2.0)
    actual = to_map(norm(to_pixels(features)), 3, 5)
    torch.testing.assert_close(actual, reference(features), rtol=1e-4, atol=1e-5)


def test_pixel_norm_of_one_pixel_is_its_bias() -> None:
    norm = PixelNorm(4)
    nn.init.constant_(norm.bias, 3.0)
    assert (norm(torch.randn(2, 1, 4)) == 3).all()


def test_masked_softmax_ignores_what_is_masked_and_survives_nothing() -> None:
    logits = torch.tensor([[1.0, 2.0, 100.0], [1.0, 2.0, 3.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(logits, mask)
    torch.testing.assert_close(weights[0, :2], torch.softmax(logits[0, :2], dim=0))
    assert weights[0, 2] == 0
    assert (weights[1] == 0).all()
    weights.sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_pixels_and_map_are_each_others_inverse() -> None:
    features = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(to_map(to_pixels(features), 3, 5), features)


def test_coordinates_run_from_left_to_right_and_from_top_to_bottom() -> None:
    grid = coordinate_grid(2, 4, like=torch.zeros(1)).unflatten(0, (2, 4))
    assert grid[0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid[:, 0, 1].tolist() == [-0.5, 0.5]
    assert (grid[0, :, 1] == -0.5).all()


def test_trimming_keeps_every_real_word() -> None:
    words = torch.randn(2, 6, 3)
    mask = torch.tensor([[True] * 2 + [False] * 4, [True] * 4 + [False] * 2])
    trimmed, kept = trim_words(words, mask)
    assert trimmed.shape == (2, 4, 3)
    assert kept.sum() == mask.sum()


def test_batches_come_in_few_sizes_and_hardly_larger() -> None:
    sizes = [padded_rows(texts) for texts in range(1, 1025)]
    assert sizes[:15] == list(range(1, 16))  # a person's few expressions cost nothing more
    assert all(size >= texts for texts, size in enumerate(sizes, 1))
    assert all(size <= 1.125 * texts for texts, size in enumerate(sizes, 1))
    assert len({size for size in sizes if 256 <= size < 512}) == 8
