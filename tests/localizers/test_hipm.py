"""EHIN's hierarchy of prompts: each equation of section 3.2, and what it reduces to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.localizers.bilateral_prompt import BilateralPrompt
from pipeline.localizers.hipm import HierarchicalPrompt, Pair

IMAGES, TEXTS, PIXELS, WIDTH = 3, 4, 6, 8
ALPHA, BETA = 0.3, 0.7


def hipm(**options: Any) -> HierarchicalPrompt:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "hidden": WIDTH,
        "prompts": 2,
        "residual": "twice",
        "alpha": ALPHA,
        "beta": BETA,
        "output": "added",
    }
    module = HierarchicalPrompt(**(settings | options))
    for prompt in module.prompts:
        assert isinstance(prompt, BilateralPrompt)
        nn.init.normal_(prompt.visual_norm.bias)  # zero at the start would hide it
    return module


def features() -> Pair:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(IMAGES, PIXELS, WIDTH, generator=generator)
    texts = torch.randn(1, TEXTS, WIDTH, generator=generator)
    return Pair(nn.functional.normalize(pixels, dim=-1), nn.functional.normalize(texts, dim=-1))


def bp(module: HierarchicalPrompt, number: int, pair: Pair) -> Pair:
    prompt = module.prompts[number]
    assert isinstance(prompt, BilateralPrompt)
    return Pair(prompt.read_texts(*pair), prompt.read_image(*pair))


def weighed(*terms: tuple[float, Pair]) -> Pair:
    def total(side: int) -> Tensor:
        return torch.stack(
            [weight * pair[side].expand(IMAGES, -1, -1) for weight, pair in terms]
        ).sum(dim=0)

    return Pair(total(0), total(1))


def assert_close(found: Pair, expected: Pair) -> None:
    torch.testing.assert_close(found.pixels, expected.pixels)
    torch.testing.assert_close(found.texts, expected.texts)


@pytest.mark.parametrize("residual", ["none", "once", "twice"])
@pytest.mark.parametrize("prompts", [1, 2, 3, 4])
def test_without_weights_it_reduces_to_its_prompts(prompts: int, residual: str) -> None:
    module = hipm(prompts=prompts, residual=residual, alpha=0.0, beta=0.0, output="last")
    start = features()
    expected = start
    for number in range(prompts):
        expected = bp(module, number, expected)
        assert_close(module.stages(*start, alone=False)[number], expected)
    assert_close(module(*start, alone=False), expected)


def test_without_weights_the_features_come_back_as_they_were() -> None:
    start = features()
    found = hipm(alpha=0.0, beta=0.0)(*start, alone=False)
    assert torch.equal(found.pixels, start.pixels) and torch.equal(found.texts, start.texts)


def test_one_prompt_and_no_residual_is_the_bilateral_prompt_of_tris() -> None:
    module, start = hipm(prompts=1, residual="none"), features()
    read = bp(module, 0, start)
    assert_close(module(*start, alone=False), weighed((1, start), (ALPHA, read)))
    assert_close(hipm(prompts=1, residual="none", output="last")(*start, alone=False), read)


def test_two_prompts_are_equations_8_to_13_and_1_and_2() -> None:
    start = features()
    module = hipm()
    first = weighed((1, bp(module, 0, start)), (ALPHA, start))  # Eq. 8-9
    second = weighed((1, bp(module, 1, first)), (ALPHA, start), (BETA, first))  # Eq. 10-13
    stages = module.stages(*start, alone=False)
    assert len(stages) == 2
    assert_close(stages[0], first)
    assert_close(stages[1], second)
    assert_close(
        module(*start, alone=False), weighed((1, start), (ALPHA, first), (BETA, second))
    )  # Eq. 1-2
    assert_close(hipm(output="last")(*start, alone=False), second)


def test_reused_once_the_original_enters_at_the_first_prompt_alone() -> None:
    start = features()
    module = hipm(residual="once")
    first = weighed((1, bp(module, 0, start)), (ALPHA, start))
    assert_close(module.stages(*start, alone=False)[0], first)
    assert_close(
        module.stages(*start, alone=False)[1], weighed((1, bp(module, 1, first)), (BETA, first))
    )


def test_a_third_prompt_goes_on_as_the_second() -> None:
    start = features()
    module = hipm(prompts=3)
    first, second, third = module.stages(*start, alone=False)
    expected = weighed((1, bp(module, 2, second)), (ALPHA, start), (BETA, second))
    assert_close(third, expected)
    total = weighed((1, start), (ALPHA, first), (BETA, second), (BETA, third))
    assert_close(module(*start, alone=False), total)


def test_each_prompt_has_weights_of_its_own_that_learn() -> None:
    module = hipm(prompts=3)
    pixels, texts = module(*features(), alone=False)
    (texts @ pixels.transpose(1, 2)).square().sum().backward()
    assert len({id(p) for p in module.parameters()}) == 3 * len(
        list(module.prompts[0].parameters())
    )
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_every_image_is_prompted_on_its_own() -> None:
    module, (pixels, texts) = hipm(), features()
    together = module(pixels, texts, alone=False)
    assert together.texts.shape == (IMAGES, TEXTS, WIDTH)
    alone = module(pixels[1:2], texts, alone=False)
    assert_close(Pair(together.pixels[1:2], together.texts[1:2]), alone)


@pytest.mark.parametrize("residual", ["none", "once", "twice"])
@pytest.mark.parametrize("output", ["added", "last"])
def test_texts_that_are_alone_get_what_each_gets_by_itself(output: str, residual: str) -> None:
    module, (pixels, texts) = hipm(output=output, residual=residual, prompts=3), features()
    together = module(pixels, texts, alone=True)
    for number in range(TEXTS):
        one = module(pixels, texts[:, number : number + 1], alone=False)
        expected = Pair(together.pixels, together.texts[:, number : number + 1])
        torch.testing.assert_close(one.pixels, expected.pixels, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(one.texts, expected.texts, rtol=1e-3, atol=1e-3)


def test_what_pixels_read_of_one_text_has_no_place() -> None:
    """The trap of the published prompt twice over: only the residuals carry a map at inference."""
    module, (pixels, texts) = hipm(output="last"), features()
    flat = hipm(output="last", residual="none")(pixels, texts, alone=True).pixels
    assert (flat == flat[:, :1]).all()
    kept = module(pixels, texts, alone=True).pixels
    share = ALPHA * (1 + BETA)  # alpha X_0 + beta (alpha X_0)
    torch.testing.assert_close(kept - kept[:, :1], share * (pixels - pixels[:, :1]))
    assert (module(pixels, texts, alone=False).pixels - kept).abs().max() > 1e-2


@pytest.mark.parametrize("output", ["added", "last"])
def test_one_pixel_and_one_text(output: str) -> None:
    module, (pixels, texts) = hipm(output=output), features()
    found = module(pixels[:, :1], texts[:, :1], alone=False)
    assert found.pixels.shape == found.texts.shape == (IMAGES, 1, WIDTH)
    (found.pixels.sum() + found.texts.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_under_autocast_the_features_stay_float32() -> None:
    module, start = hipm(), features()
    exact = module(*start, alone=False)
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(*start, alone=False)
    assert rough.pixels.dtype == rough.texts.dtype == torch.float32
    torch.testing.assert_close(rough.texts, exact.texts, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": 0}, "prompts"),
        ({"residual": "thrice"}, "residual"),
        ({"output": "x"}, "output"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hipm(**options)
