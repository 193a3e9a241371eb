"""The losses of the small CLIP's pretraining, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.encoders import Encoder
from pipeline.miniature.small_clip import SmallClipPretraining, inverse_frequencies
from pipeline.records import Batch

# Captions as token ids: 0 padding, 1 start, 2 "red", 3 "blue", 4 "star", 5 never said.
RED_STAR, BLUE_STAR, RED = [1, 2, 4, 0], [1, 3, 4, 0], [1, 2, 0, 0]


class Mean(nn.Module):
    """An image is embedded as its mean colour, a text by a table of its tokens."""

    embed_dim = 3

    def __init__(self) -> None:
        super().__init__()
        self.texts = nn.EmbeddingBag(6, 3, padding_idx=0, mode="sum")

    def embed_images(self, images: Tensor) -> Tensor:
        return images.mean(dim=(-1, -2))

    def sentence(self, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.texts(tokens))


def pretraining(word_weights: Sequence[float], *, scale: float = 1.0) -> SmallClipPretraining:
    torch.manual_seed(0)
    encoder = cast(Encoder, Mean())
    logit_scale = nn.Parameter(torch.tensor(math.log(scale)))
    return SmallClipPretraining(encoder, logit_scale, torch.tensor(word_weights), 0)


def batch(colours: Sequence[Sequence[float]], captions: Sequence[Sequence[int]]) -> Batch:
    tokens = torch.tensor(captions)
    rows = torch.arange(len(tokens))
    return Batch(
        images=torch.tensor(colours)[:, :, None, None].expand(-1, -1, 2, 2),
        owner=rows,
        tokens=tokens,
        text_ids=torch.unique(tokens, dim=0, return_inverse=True)[1],
        image_ids=rows,
        ref_ids=rows,
        negatives=None,
        masks=None,
        seed=0,
    )


TWO = batch([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [RED_STAR, BLUE_STAR])


def test_rare_words_weigh_more_and_what_all_or_none_say_nothing() -> None:
    tokens = torch.tensor([RED_STAR, BLUE_STAR, RED, RED])
    weights = inverse_frequencies(tokens, 6)
    expected = [0, 0, math.log(4 / 3), math.log(4), math.log(2), 0]
    assert weights.tolist() == pytest.approx(expected)


def test_a_word_said_twice_counts_once() -> None:
    tokens = torch.tensor([[1, 2, 2, 0], [1, 3, 4, 0]])
    assert inverse_frequencies(tokens, 6)[2].item() == pytest.approx(math.log(2))


def test_naming_words_by_hand() -> None:
    network = pretraining([0.0, 0.0, 1.0, 3.0, 1.0, 0.0])
    odds = torch.tensor([1.0, 1.0, 2.0, 4.0, 8.0, 4.0])
    with torch.no_grad():  # the same guess for every picture
        network.namer.weight.zero_()
        network.namer.bias.copy_(odds.log())
    _, losses = network(TWO)
    # "red star": half each; "blue star": three quarters blue
    red_star = -(math.log(2 / 20) + math.log(8 / 20)) / 2
    blue_star = -(3 * math.log(4 / 20) + math.log(8 / 20)) / 4
    assert losses["words"].item() == pytest.approx((red_star + blue_star) / 2)


def test_naming_pushes_what_was_said_up_and_everything_else_down() -> None:
    network = pretraining([0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    with torch.no_grad():
        network.namer.weight.zero_()
        network.namer.bias.zero_()
    network(batch([[1.0, 0.0, 0.0]], [RED_STAR]))[1]["words"].backward()
    gradient = network.namer.bias.grad
    assert gradient is not None
    assert {i for i, g in enumerate(gradient.tolist()) if g < 0} == {2, 4}


def test_a_caption_of_words_without_weight_costs_nothing() -> None:
    losses = pretraining([0.0] * 6)(TWO)[1]
    assert losses["words"].item() == 0


def test_pictures_learn_to_be_named_by_their_own_words() -> None:
    network = pretraining(inverse_frequencies(TWO.tokens, 6).tolist())
    optimiser = torch.optim.Adam(network.namer.parameters(), lr=0.2)
    history = []
    for _ in range(60):
        loss = network(TWO)[1]["words"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.05 < 1 < history[0]
    named = network.namer(network.encoder.embed_images(TWO.images)).argmax(dim=1)
    assert named.tolist() == [2, 3]


def test_contrastive_by_hand_and_equal_captions_are_all_right() -> None:
    network = pretraining([1.0] * 6, scale=5.0)
    colours = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.8, 0.6, 0.0]]
    data = batch(colours, [RED_STAR, BLUE_STAR, RED_STAR])
    logits, losses = network(data)
    images = functional.normalize(network.encoder.embed_images(data.images), dim=-1)
    texts = functional.normalize(network.encoder.sentence(data.tokens), dim=-1)
    torch.testing.assert_close(logits, 5 * images @ texts.t())
    by_image, by_text = (-logits.log_softmax(dim=dim) for dim in (1, 0))
    right = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    expected = ((by_image + by_text) * right).sum() / 6
    torch.testing.assert_close(losses["contrastive"], expected)


def test_the_logits_scale_stops_at_a_hundred() -> None:
    logits, _ = pretraining([1.0] * 6, scale=1e4)(TWO)
    assert logits.abs().max() <= 100 + 1e-3


def test_the_namer_depends_on_its_seed_alone_and_is_no_part_of_the_encoder() -> None:
    def namer(seed: int) -> Tensor:
        encoder = cast(Encoder, Mean())
        made = SmallClipPretraining(encoder, nn.Parameter(torch.zeros(())), torch.ones(6), seed)
        return made.namer.weight

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = namer(3)
    Mean()  # what the encoder itself has drawn
    assert torch.equal(first, namer(3)) and not torch.equal(first, namer(4))
    torch.random.set_rng_state(state)
    Mean()
    drawn = torch.random.get_rng_state()
    torch.random.set_rng_state(state)
    namer(3)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert not any("namer" in name for name, _ in pretraining([1.0] * 6).encoder.named_parameters())
