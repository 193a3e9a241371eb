"""The conditional referring module: its four modulations, negatives, and what it starts out as."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.localizers.crm import (
    MODULATIONS,
    ConditionalReferring,
    CrossAttention,
    drawn,
    readable_cues,
    unit,
)

HIDDEN = 16
SEEN = pytest.mark.parametrize("modulation", ["vta_add", "vta_tta"])


def crm(modulation: str = "vta_tta", visual: float = 0.1) -> ConditionalReferring:
    """With weights as if it had learned something: the MLPs start at zero."""
    torch.manual_seed(0)
    module = ConditionalReferring(
        hidden=HIDDEN,
        modulation=modulation,  # type: ignore[arg-type]
        visual=visual,
    )
    for part in module.modules():
        if isinstance(part, CrossAttention):
            last = part.mlp[-1]
            assert isinstance(last, nn.Linear)
            nn.init.normal_(last.weight, std=0.2)
    return module


def inputs(images: int = 2, texts: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def made(*shape: int) -> Tensor:
        return unit(torch.randn(*shape, HIDDEN, generator=generator))

    return made(images, 9), made(1, texts), made(1, texts)


@pytest.mark.parametrize("modulation", MODULATIONS)
@pytest.mark.parametrize("alone", [True, False])
def test_shapes(modulation: str, alone: bool) -> None:
    pixels, texts, cues = inputs()
    readable = None if alone else torch.ones(3, 3, dtype=torch.bool)
    seen, modulated = crm(modulation)(pixels, texts, cues, readable=readable, alone=alone)
    assert seen.shape == pixels.shape and seen.dtype == torch.float32
    images = 2 if modulation.startswith("vta") else 1
    assert modulated.shape == (images, 3, HIDDEN) and modulated.dtype == torch.float32


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_what_a_stage_starts_out_as(modulation: str) -> None:
    """The attentions add nothing yet: the embedding as it is, or its sum with the cue."""
    torch.manual_seed(0)
    module = ConditionalReferring(hidden=HIDDEN, modulation=modulation, visual=0)  # type: ignore
    pixels, texts, cues = inputs()
    seen, modulated = module(pixels, texts, cues, readable=None, alone=True)
    expected = texts + cues if modulation.endswith("add") else texts
    torch.testing.assert_close(modulated, expected.expand_as(modulated))
    assert seen is pixels


def test_only_what_is_used_has_weights() -> None:
    def parts(modulation: str, visual: float) -> set[str]:
        return {name.split(".")[0] for name, _ in crm(modulation, visual).named_parameters()}

    assert parts("none", 0) == parts("add", 0) == set()
    assert parts("tta", 0) == {"text_of_cues"}
    assert parts("vta_add", 0) == {"cue_of_pixels"}
    assert parts("vta_tta", 0.1) == {"cue_of_pixels", "text_of_cues", "pixels_of_texts"}


def test_eq_2_and_eq_3_by_hand() -> None:
    """One image, one text and its cue, and the cue of another text."""
    module = crm(visual=0)
    pixels, texts, cues = inputs(images=1, texts=2)
    readable = torch.tensor([[True, True], [False, True]])
    _, modulated = module(pixels, texts, cues, readable=readable, alone=False)

    def attended(attention: Any, query: Tensor, context: Tensor) -> Tensor:
        """(C,) of (C,) and (K, C)."""
        normed = attention.context_norm(context[None])[0]
        key, value = attention.context(normed).chunk(2, dim=-1)
        weights = torch.softmax(attention.query(query) @ key.T / HIDDEN**0.5, dim=-1)
        return attention.mlp(weights @ value)

    seen = torch.stack([cue + attended(module.cue_of_pixels, cue, pixels[0]) for cue in cues[0]])
    first = texts[0, 0] + attended(module.text_of_cues, texts[0, 0], seen)
    second = texts[0, 1] + attended(module.text_of_cues, texts[0, 1], seen[1:])
    torch.testing.assert_close(modulated[0], torch.stack([first, second]))


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_without_negatives_a_text_reads_its_own_cue_alone(modulation: str) -> None:
    module = crm(modulation)
    pixels, texts, cues = inputs()
    own = torch.eye(3, dtype=torch.bool)
    masked, alone = (
        module(pixels, texts, cues, readable=readable, alone=True)[1] for readable in (own, None)
    )
    torch.testing.assert_close(masked, alone, rtol=1e-4, atol=1e-5)
    other = cues.clone()
    other[:, 1] = -other[:, 1]
    changed = module(pixels, texts, other, readable=None, alone=True)[1]
    torch.testing.assert_close(changed[:, [0, 2]], alone[:, [0, 2]])
    assert torch.equal(changed[:, 1], alone[:, 1]) == (modulation == "none")


@SEEN
def test_the_pixels_change_what_a_cue_says(modulation: str) -> None:
    pixels, texts, cues = inputs()
    found = crm(modulation)(pixels, texts, cues, readable=None, alone=True)[1]
    assert not torch.allclose(found[0], found[1])


def test_one_text_alone_moves_all_pixels_alike() -> None:
    module = crm("none")
    assert module.pixels_of_texts is not None
    nn.init.normal_(module.pixels_of_texts.norm.bias)
    pixels, texts, cues = inputs(texts=1)
    together, alone = (
        module(pixels, texts, cues, readable=None, alone=alone)[0] for alone in (False, True)
    )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    moved = alone - pixels
    torch.testing.assert_close(moved, moved[:, :1].expand_as(moved))


def test_negatives_are_texts_of_other_images_and_other_words() -> None:
    text_ids, image_ids = torch.tensor([0, 1, 0, 2, 3]), torch.tensor([7, 7, 8, 8, 9])
    found = readable_cues(text_ids, image_ids, negatives="all", seed=0)
    expected = [
        [True, False, False, True, True],
        [False, True, True, True, True],
        [False, True, True, False, True],
        [True, True, False, True, True],
        [True, True, True, True, True],
    ]
    assert found.tolist() == expected
    few = readable_cues(text_ids, image_ids, negatives=2, seed=0)
    assert few.sum(dim=1).tolist() == [3, 3, 3, 3, 3]
    assert few.diagonal().all() and not (few & ~found).any()
    many = readable_cues(text_ids, image_ids, negatives=99, seed=0)
    assert torch.equal(many, found)


def test_a_draw_is_of_its_seed_and_uniform() -> None:
    allowed = torch.tensor([[True, True, False, True]] * 600)
    first, again, other = (drawn(allowed, 1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (first.sum(dim=1) == 1).all()
    counts = first.sum(dim=0)
    assert counts[2] == 0 and (counts[[0, 1, 3]] > 150).all()
    assert not drawn(allowed, 0, seed=0).any()
    assert not drawn(torch.zeros(2, 2, dtype=torch.bool), 1, seed=0).any()


def test_one_pixel_and_unknown_words() -> None:
    pixels, texts, cues = inputs(images=1, texts=1)
    seen, modulated = crm()(pixels[:, :1], texts, cues, readable=None, alone=False)
    assert seen.isfinite().all() and modulated.isfinite().all()
    with pytest.raises(ValueError, match="modulation must be"):
        crm("tta_vta")
