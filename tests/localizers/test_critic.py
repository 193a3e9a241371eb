"""The frozen critic: what it sees, and that nothing trains or moves it unasked."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch.nn import functional

from pipeline.encoders.openclip import NORMALISATIONS, OpenClipEncoder
from pipeline.localizers.critic import Critic
from tests import networks
from tests.networks import SIDE, TEXTS, encoder


def test_an_open_mask_shows_the_critic_its_own_view_of_the_image() -> None:
    eye = encoder(1, normalise="imagenet")
    mean, std = NORMALISATIONS["clip"]
    critic = Critic(eye, mean=mean, std=std)
    rgb = torch.rand(2, 3, SIDE, SIDE)

    def normalised(name: str) -> torch.Tensor:
        mean, std = (torch.tensor(part)[:, None, None] for part in NORMALISATIONS[name])
        return (rgb - mean) / std

    tokens = eye.tokenize(TEXTS[:2])
    found = critic.similarity(normalised("clip"), torch.full((2, 1, 2, 2), 50.0), tokens[:, None])
    with torch.no_grad():
        image, text = eye.embed_images(normalised("imagenet")), eye.sentence(tokens)
    expected = functional.cosine_similarity(image, text)[:, None]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_shut_mask_hides_the_image() -> None:
    eye = encoder(1)
    critic = Critic(eye, mean=eye.mean, std=eye.std)
    tokens = eye.tokenize(TEXTS[:1])[:, None]
    shut = torch.full((1, 1, 2, 2), -50.0)
    first, second = (
        critic.similarity(torch.randn(1, 3, SIDE, SIDE), shut, tokens) for _ in range(2)
    )
    torch.testing.assert_close(first, second)


def test_images_are_resized_to_the_critic() -> None:
    eye = encoder(1, image_size=64)
    critic = Critic(eye, mean=eye.mean, std=eye.std)
    with mock.patch.object(eye, "embed_images", wraps=eye.embed_images) as embed:
        critic.similarity(
            torch.randn(2, 3, SIDE, SIDE), torch.zeros(2, 1, 2, 2), eye.tokenize(TEXTS[:2])[:, None]
        )
    assert embed.call_args.args[0].shape == (2, 3, 64, 64)


def test_the_mask_learns_and_the_critic_does_not() -> None:
    eye = encoder(1)
    critic = Critic(eye, mean=eye.mean, std=eye.std)
    response = torch.zeros(1, 1, 2, 2, requires_grad=True)
    tokens = eye.tokenize(TEXTS[:3])[None]
    critic.similarity(torch.randn(1, 3, SIDE, SIDE), response, tokens).sum().backward()
    assert response.grad is not None and response.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in eye.parameters())
    assert not eye.training


def test_each_text_is_embedded_once() -> None:
    eye = encoder(1)
    critic = Critic(eye, mean=eye.mean, std=eye.std)
    tokens = eye.tokenize([TEXTS[0], TEXTS[1], TEXTS[0]])
    with mock.patch.object(eye, "sentence", wraps=eye.sentence) as sentence:
        first = critic.embed_texts(tokens)
        again = critic.embed_texts(tokens.flip(0))
    embedded = torch.cat([call.args[0] for call in sentence.call_args_list])
    assert len(embedded.unique(dim=0)) == len(sentence.call_args_list) == 2  # of two lengths
    torch.testing.assert_close(first, eye.sentence(tokens), rtol=1e-4, atol=1e-5)
    assert torch.equal(again, first.flip(0))


def wide_encoder() -> OpenClipEncoder:
    """A text tower whose sums are long enough for their order to show in the last bits."""
    vision = {"layers": [1, 1, 1, 1], "width": 8}
    return networks.clip(3, vision=vision, width=192, heads=3, layers=2, embed_dim=96)


@pytest.mark.parametrize("bf16", [False, True])
def test_no_bit_of_an_embedding_depends_on_the_texts_around_it(bf16: bool) -> None:
    """A resumed run meets the texts of a batch with other texts already known."""
    eye = wide_encoder()
    words = [f"{size} {text}" for size in ("", "small", "large", "top", "left") for text in TEXTS]
    tokens = eye.tokenize([*words, *(f"{word} square" for word in words)])
    assert len({row.numpy().tobytes() for row in tokens}) > 40
    generator = torch.Generator().manual_seed(0)

    def embedded(sizes: list[int]) -> torch.Tensor:
        """All texts, asked for in groups of these sizes, in an order of their own."""
        critic = Critic(eye, mean=eye.mean, std=eye.std)
        order = torch.randperm(len(tokens), generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for group in order.split(sizes):
                critic.embed_texts(tokens[group])
            return critic.embed_texts(tokens)

    expected = embedded([len(tokens)])
    for sizes in ([1] * 60, [7, 1, 2, 50], [31, 29], [3, 57]):
        assert torch.equal(embedded(sizes), expected)


def test_moving_the_critic_forgets_old_embeddings() -> None:
    eye = encoder(1)
    critic = Critic(eye, mean=eye.mean, std=eye.std)
    critic.embed_texts(eye.tokenize(TEXTS[:1]))
    critic.apply_to_tensors(lambda tensor: tensor * 0 if tensor.is_floating_point() else tensor)
    assert (critic.embed_texts(eye.tokenize(TEXTS[:1])) == 0).all()
