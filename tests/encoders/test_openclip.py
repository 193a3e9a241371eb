"""The towers behind the face compute what open_clip computes, and more sizes than it can."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipeline.encoders import resnet
from pipeline.safety import InputError
from tests.encoders.small import RESNET, TEXTS, VIT, encoder

TOWERS = pytest.mark.parametrize("vision", [RESNET, VIT], ids=["resnet", "vit"])


def pictures(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def wake(made: Any) -> None:
    """open_clip's residual blocks start at zero: a test would see their shortcuts only."""
    for name, parameter in made.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)


@TOWERS
@torch.no_grad()
def test_at_its_own_size_the_embedding_is_open_clips(vision: dict[str, Any]) -> None:
    made = encoder(vision)
    wake(made)
    images = pictures(made.image_size, made.image_size)
    expected = made.clip.encode_image(images)
    torch.testing.assert_close(made.embed_images(images), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0.01


@TOWERS
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@torch.no_grad()
def test_levels_have_the_declared_channels_and_strides(
    vision: dict[str, Any], size: tuple[int, int]
) -> None:
    made = encoder(vision)
    levels, embedding = made.see(pictures(*size))
    assert [tuple(level.shape) for level in levels] == [
        (2, channels, size[0] // stride, size[1] // stride)
        for channels, stride in zip(made.channels, made.strides, strict=True)
    ]
    assert embedding.shape == (2, made.embed_dim)
    for level, again in zip(levels, made.pyramid(pictures(*size)), strict=True):
        assert torch.equal(level, again)


@torch.no_grad()
def test_a_resnets_values_are_its_embedding_when_every_cell_says_the_same() -> None:
    made = encoder(RESNET)
    pool: Any = made.clip.visual.attnpool
    cell = torch.randn(2, made.channels[-1], generator=torch.Generator().manual_seed(0))
    for places in (torch.zeros(1), pool.positional_embedding[3].clone()):
        pool.positional_embedding.copy_(places.expand_as(pool.positional_embedding))
        weight, bias = made.value_projection()
        plain = cell[:, :, None, None].expand(-1, -1, 2, 2)
        torch.testing.assert_close(
            cell @ weight.T + bias, resnet.attention_pool(pool, plain), rtol=1e-4, atol=1e-5
        )


@torch.no_grad()
def test_a_vits_values_are_read_as_its_class_token_is() -> None:
    made = encoder(VIT)
    normed: list[torch.Tensor] = []
    vit: Any = made.clip.visual
    handle = vit.ln_post.register_forward_hook(lambda *passed: normed.append(passed[-1]))
    levels, embedding = made.see(pictures(64, 64))
    handle.remove()
    weight, bias = made.value_projection()
    assert weight.shape == (made.embed_dim, made.channels[-1])
    torch.testing.assert_close(normed[0][:, 0] @ weight.T + bias, embedding)
    # and the level is those patches
    assert torch.equal(levels[-1].flatten(2).transpose(1, 2), normed[0][:, 1:])


@torch.no_grad()
def test_the_levels_are_open_clips_layers() -> None:
    made = encoder(RESNET)
    wake(made)
    images = pictures(64, 64)
    expected = made.clip.visual.forward_intermediates(
        images, indices=[1, 2, 3, 4], intermediates_only=True
    )["image_intermediates"]
    for level, layer in zip(made.pyramid(images), expected, strict=True):
        assert torch.equal(level, layer)


@torch.no_grad()
def test_without_its_last_stride_a_resnet_sees_the_same_at_twice_the_resolution() -> None:
    coarse, fine = encoder(RESNET), encoder(RESNET, output_stride=16)
    assert (coarse.strides[-1], fine.strides[-1]) == (32, 16)
    for made in (coarse, fine):
        wake(made)
    fine.clip.load_state_dict(coarse.clip.state_dict())
    # An average pool of a constant is that constant: on a plain picture both must agree.
    plain = pictures(1, 1).expand(2, 3, 128, 128)
    low, high = coarse.pyramid(plain)[-1], fine.pyramid(plain)[-1]
    assert high.shape[-1] == 2 * low.shape[-1]
    torch.testing.assert_close(high[:, :, 4, 4], low[:, :, 2, 2])


@TOWERS
@torch.no_grad()
def test_the_position_grid_follows_the_image_size(vision: dict[str, Any]) -> None:
    made = encoder(vision)
    images = pictures(128, 64)
    shown = made.embed_images(images)
    positions = dict(made.clip.visual.named_parameters())
    key = next(name for name in positions if name.endswith("positional_embedding"))
    torch.nn.init.zeros_(positions[key])
    assert not torch.allclose(made.embed_images(images), shown)


@torch.no_grad()
def test_vit_pyramid_has_four_levels_of_one_map() -> None:
    made = encoder(VIT, vit_pyramid=True)
    levels = made.pyramid(pictures(64, 96))
    assert made.strides == (4, 8, 16, 32) and made.channels == (32,) * 4
    assert [tuple(level.shape[2:]) for level in levels] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    single = encoder(VIT).pyramid(pictures(64, 96))[0]
    assert torch.equal(levels[2], single)
    torch.testing.assert_close(levels[3], torch.nn.functional.avg_pool2d(single, 2))


@pytest.mark.parametrize(
    ("vision", "options", "word"),
    [
        (RESNET, {"output_stride": 8}, "output_stride"),
        (VIT, {"output_stride": 32}, "patch size"),
        (RESNET, {"context": 21}, "context"),
        (RESNET, {"context": 2}, "context"),
        (RESNET, {"normalise": "none"}, "normalise"),
    ],
)
def test_impossible_options_are_named(
    vision: dict[str, Any], options: dict[str, Any], word: str
) -> None:
    with pytest.raises(InputError, match=word):
        encoder(vision, **options)


@torch.no_grad()
def test_the_sentence_is_open_clips_and_the_projected_end_word() -> None:
    made = encoder()
    tokens = made.tokenize(TEXTS)
    words, mask, sentence = made.read(tokens)
    torch.testing.assert_close(sentence, made.clip.encode_text(tokens), rtol=1e-4, atol=1e-5)
    ends = mask.sum(dim=1) - 1
    last = words[torch.arange(len(TEXTS)), ends]
    torch.testing.assert_close(last @ made.clip.text_projection, sentence)
    assert torch.equal(sentence, made.sentence(tokens))
    assert all(torch.equal(a, b) for a, b in zip((words, mask), made.words(tokens), strict=True))


@torch.no_grad()
def test_words_are_zero_where_nothing_was_read() -> None:
    made = encoder()
    tokens = made.tokenize(TEXTS)
    words, mask = made.words(tokens)
    assert words.shape == (len(TEXTS), made.context, made.word_width)
    assert mask.sum(dim=1).tolist() == [len(text.split()) + 2 for text in TEXTS]
    assert (words[~mask] == 0).all() and (words[mask] != 0).any(dim=-1).all()


@torch.no_grad()
def test_a_sentence_does_not_depend_on_its_company() -> None:
    made = encoder()
    together = made.sentence(made.tokenize(TEXTS))
    alone = torch.cat([made.sentence(made.tokenize([text])) for text in TEXTS])
    torch.testing.assert_close(together, alone)


@torch.no_grad()
def test_a_shorter_context_reads_short_texts_alike() -> None:
    long, short = encoder(context=20), encoder(context=9)
    torch.testing.assert_close(
        short.sentence(short.tokenize(TEXTS)), long.sentence(long.tokenize(TEXTS))
    )
    assert short.tokenize(TEXTS).shape == (len(TEXTS), 9)


@torch.no_grad()
def test_projected_words_live_in_the_shared_space() -> None:
    made = encoder(project_words=True)
    words, mask, sentence = made.read(made.tokenize(TEXTS))
    assert words.shape[-1] == made.word_width == made.embed_dim
    torch.testing.assert_close(words[torch.arange(len(TEXTS)), mask.sum(dim=1) - 1], sentence)


@TOWERS
def test_half_precision_and_channels_last_train(vision: dict[str, Any]) -> None:
    made = encoder(vision).to(memory_format=torch.channels_last).train()
    images = pictures(64, 64).contiguous(memory_format=torch.channels_last)
    tokens = made.tokenize(TEXTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        levels, embedding = made.see(images)
        words, _, sentence = made.read(tokens)
    loss = sum(part.float().square().mean() for part in (*levels, embedding, words, sentence))
    torch.as_tensor(loss).backward()
    gradients = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
    missing = {name for name, _ in made.named_parameters()} - set(gradients)
    assert missing == {"clip.logit_scale"}
    assert all(g.isfinite().all() for g in gradients.values())


@TOWERS
@torch.no_grad()
def test_half_precision_is_close_to_single(vision: dict[str, Any]) -> None:
    made = encoder(vision)
    images, tokens = pictures(64, 64), made.tokenize(TEXTS)
    expected = made.embed_images(images), made.sentence(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = made.embed_images(images), made.sentence(tokens)
    for half, single in zip(found, expected, strict=True):
        assert torch.nn.functional.cosine_similarity(half.float(), single).min() > 0.999


def test_random_weights_depend_on_the_seed_alone() -> None:
    first = encoder(seed=3).state_dict()
    state = torch.random.get_rng_state()
    torch.rand(5)
    again = encoder(seed=3).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = encoder(seed=4).state_dict()
    assert not torch.equal(first["clip.text_projection"], other["clip.text_projection"])
    torch.random.set_rng_state(state)
    encoder(seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
