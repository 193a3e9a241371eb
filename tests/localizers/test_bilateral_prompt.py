"""The bilateral prompt: what attends to what, and the folded form of reading words."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pipeline.localizers.bilateral_prompt import BilateralPrompt

IMAGES, TEXTS, WORDS, PIXELS, WIDTH = 3, 4, 5, 6, 8


def prompt() -> BilateralPrompt:
    torch.manual_seed(0)
    module = BilateralPrompt(hidden=WIDTH)
    nn.init.normal_(module.visual_norm.bias)  # zero at the start would hide it
    nn.init.normal_(module.visual_norm.weight)
    return module


def words_and_mask() -> tuple[Tensor, Tensor]:
    mask = torch.arange(WORDS) < torch.tensor([2, 5, 3, 1])[:, None]
    return torch.randn(1, TEXTS, WORDS, WIDTH), mask[None]


def plain_reading(module: BilateralPrompt, visual: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """One pair after another, without folding anything: (I, N, P, C)."""
    images = []
    for pixels in visual:
        query = module.visual_query(pixels)
        texts = []
        for text, real in zip(words[0], mask[0], strict=True):
            key, value = module.text_context(text[real]).chunk(2, dim=-1)
            attention = torch.softmax(query @ key.T / math.sqrt(WIDTH), dim=-1)
            texts.append(module.visual_norm(module.visual_out(attention @ value)))
        images.append(torch.stack(texts))
    return torch.stack(images)


def test_reading_words_along_a_direction_and_its_gradients() -> None:
    module = prompt()
    visual = torch.randn(IMAGES, PIXELS, WIDTH, requires_grad=True)
    words, mask = words_and_mask()
    direction = torch.randn(IMAGES, TEXTS, WIDTH, requires_grad=True)
    expected = (plain_reading(module, visual, words, mask) * direction[:, :, None]).sum(dim=-1)
    actual = module.read_words(visual, words, mask, direction)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    weights, inputs = torch.randn_like(actual), [visual, direction, module.visual_out.weight]
    for ours, theirs in zip(
        torch.autograd.grad((actual * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)


def test_padding_words_change_nothing() -> None:
    module = prompt()
    visual, (words, mask) = torch.randn(IMAGES, PIXELS, WIDTH), words_and_mask()
    changed = words.masked_fill(~mask[..., None], 7.0)
    direction = torch.randn(IMAGES, TEXTS, WIDTH)
    torch.testing.assert_close(
        module.read_words(visual, changed, mask, direction),
        module.read_words(visual, words, mask, direction),
    )


def test_a_text_without_words_gives_no_nan() -> None:
    module = prompt()
    words, mask = words_and_mask()
    visual, direction = torch.randn(1, PIXELS, WIDTH), torch.randn(1, TEXTS, WIDTH)
    read = module.read_words(visual, words, torch.zeros_like(mask), direction)
    expected = (direction * module.visual_norm.bias).sum(dim=-1, keepdim=True).expand_as(read)
    torch.testing.assert_close(read, expected)


def test_texts_read_each_image_on_its_own() -> None:
    module = prompt()
    visual, texts = torch.randn(IMAGES, PIXELS, WIDTH), torch.randn(1, TEXTS, WIDTH)
    together = module.read_image(visual, texts)
    assert together.shape == (IMAGES, TEXTS, WIDTH)
    torch.testing.assert_close(together[1:2, 2:3], module.read_image(visual[1:2], texts[:, 2:3]))


def test_one_text_tells_pixels_nothing_about_where() -> None:
    """The trap of the published prompt: at inference the visual side is constant over space."""
    module = prompt()
    visual, texts = torch.randn(1, PIXELS, WIDTH), torch.randn(1, TEXTS, WIDTH)
    alone = module.read_texts(visual, texts[:, :1])
    torch.testing.assert_close(alone, module.visual_norm.bias.expand_as(alone), rtol=0, atol=1e-3)
    assert module.read_texts(visual, texts).std(dim=1).min() > 1e-2


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_map_of_one_pixel_is_finite_with_its_gradients(pixels: int) -> None:
    module = prompt()
    visual = torch.randn(1, pixels, WIDTH, requires_grad=True)
    words, mask = words_and_mask()
    texts = module.read_image(visual, torch.randn(1, TEXTS, WIDTH))
    total = module.read_words(visual, words, mask, texts).sum()
    total = total + module.read_texts(visual, texts).sum()
    total.backward()
    assert total.isfinite()
    assert visual.grad is not None and visual.grad.isfinite().all()
