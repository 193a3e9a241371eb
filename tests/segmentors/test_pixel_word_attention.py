"""Pixel-word attention: padding, emptiness, and the part computed once an image."""

from __future__ import annotations

import torch

from pipeline.segmentors.pixel_word_attention import PixelWordAttention


def attention() -> PixelWordAttention:
    torch.manual_seed(0)
    return PixelWordAttention(channels=6, word_width=5, hidden=4)


def test_padding_words_change_nothing() -> None:
    module, stage, words = attention(), torch.randn(2, 6, 3, 4), torch.randn(2, 7, 5)
    mask = torch.arange(7) < torch.tensor([[2], [7]])
    changed = words.masked_fill(~mask[..., None], 9.0)
    before = module(module.view(stage), words, mask)
    assert before.shape == stage.shape
    torch.testing.assert_close(module(module.view(stage), changed, mask), before)
    assert not torch.allclose(module(module.view(stage), words[:, :1], mask[:, :1]), before)


def test_a_text_without_words_gives_no_nan() -> None:
    module, stage = attention(), torch.randn(2, 6, 3, 4)
    mask = torch.tensor([[False, False], [True, True]])
    fused = module(module.view(stage), torch.randn(2, 2, 5), mask)
    fused.sum().backward()
    assert fused.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_what_is_read_is_added_to_the_stage() -> None:
    module, stage = attention(), torch.randn(1, 6, 3, 4)
    fused = module(module.view(stage), torch.randn(1, 2, 5), torch.ones(1, 2, dtype=torch.bool))
    added = fused - stage
    assert added.min() > -1e-6  # a ReLU ends the branch
    assert added.max() > 0


def test_a_view_is_shared_by_the_texts_of_its_image() -> None:
    module, stages, words = attention(), torch.randn(2, 6, 3, 4), torch.randn(3, 2, 5)
    mask, owner = torch.ones(3, 2, dtype=torch.bool), torch.tensor([1, 0, 1])
    shared = module(module.view(stages).of(owner), words, mask)
    torch.testing.assert_close(shared, module(module.view(stages[owner]), words, mask))
