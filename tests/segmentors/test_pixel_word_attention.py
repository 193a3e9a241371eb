"""Pixel-word attention: padding, emptiness, and the part computed once an image."""

from __future__ import annotations

import torch

from pipeline.segmentors.pixel_word_attention import PixelWordAttention

EACH = torch.arange(2)  # a text for each of two images


def attention() -> PixelWordAttention:
    torch.manual_seed(0)
    return PixelWordAttention(channels=6, word_width=5, hidden=4)


def test_padding_words_change_nothing() -> None:
    module, stage, words = attention(), torch.randn(2, 6, 3, 4), torch.randn(2, 7, 5)
    mask = torch.arange(7) < torch.tensor([[2], [7]])
    changed = words.masked_fill(~mask[..., None], 9.0)
    before = module(module.view(stage), EACH, words, mask)
    assert before.shape == stage.shape
    torch.testing.assert_close(module(module.view(stage), EACH, changed, mask), before)
    assert not torch.allclose(module(module.view(stage), EACH, words[:, :1], mask[:, :1]), before)


def test_a_text_without_words_gives_no_nan() -> None:
    module, stage = attention(), torch.randn(2, 6, 3, 4)
    mask = torch.tensor([[False, False], [True, True]])
    read = module(module.view(stage), EACH, torch.randn(2, 2, 5), mask)
    read.sum().backward()
    assert read.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_what_is_read_is_never_negative() -> None:
    module, stage = attention(), torch.randn(1, 6, 3, 4)
    mask = torch.ones(1, 2, dtype=torch.bool)
    read = module(module.view(stage), torch.zeros(1, dtype=torch.int64), torch.randn(1, 2, 5), mask)
    assert read.min() == 0  # a ReLU ends the branch
    assert read.max() > 0


def test_a_view_is_shared_by_the_texts_of_its_image() -> None:
    module, stages, words = attention(), torch.randn(2, 6, 3, 4), torch.randn(3, 2, 5)
    mask, owner = torch.ones(3, 2, dtype=torch.bool), torch.tensor([1, 0, 1])
    shared = module(module.view(stages), owner, words, mask)
    alone = module(module.view(stages[owner]), torch.arange(3), words, mask)
    torch.testing.assert_close(shared, alone)
