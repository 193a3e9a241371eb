"""TRIS Stage-2 on a tiny real CLIP: shapes, agreement of its two faces, losses, learning."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import functional

from pipeline.segmentors import SEGMENTORS
from pipeline.segmentors.tris import TrisSegmentor
from tests.networks import SIDE, TEXTS, batch, repeated, segmentor


@pytest.mark.parametrize("loss", ["bce", "ce_dice"])
@pytest.mark.parametrize("coordinates", [False, True])
def test_shapes_and_names(loss: str, coordinates: bool) -> None:
    logits, losses = segmentor(loss=loss, coordinates=coordinates)(batch(3))
    assert logits.shape == (3, 1, SIDE, SIDE)
    assert logits.dtype == torch.float32
    assert list(losses) == ["segmentation", "deep_supervision"]
    assert all(value.shape == () and value.isfinite() for value in losses.values())


def test_losses_by_hand() -> None:
    data = batch(2)
    assert data.masks is not None
    network = segmentor().eval()
    head: Any
    for head in network.decoder.heads:  # every logit 1, whatever the image
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.ones_(head.bias)
    _, losses = network(data)
    expected = functional.binary_cross_entropy_with_logits(
        torch.ones(4), torch.tensor([1.0, 0, 0, 0])
    )
    assert losses["segmentation"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["deep_supervision"].item() == pytest.approx(3 * expected.item(), rel=1e-5)


def test_texts_of_one_image_together_are_each_alone() -> None:
    network, data = segmentor(coordinates=True).eval(), batch(2)
    tokens = network.encoder.tokenize(TEXTS)
    owner = torch.tensor([0, 1, 1, 0, 1, 0])
    together = network.segment(network.encode(data.images), tokens, owner, (20, 30))
    assert together.shape == (6, 1, 20, 30)
    for row, image in enumerate(owner.tolist()):
        features = network.encode(data.images[image : image + 1])
        alone = network.segment(features, tokens[row : row + 1], torch.tensor([0]), (20, 30))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-3, atol=1e-4)


def test_segment_is_forward_without_the_losses() -> None:
    network, data = segmentor().eval(), batch(3)
    logits, _ = network(data)
    features = network.encode(data.images)
    alone = network.segment(features, data.tokens, torch.arange(3), (SIDE, SIDE))
    torch.testing.assert_close(alone, logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_texts_that_share_an_image_get_what_copies_of_it_would_give() -> None:
    network = segmentor(coordinates=True).eval()
    shared = batch(5, images=2)
    with mock.patch.object(network.encoder, "pyramid", wraps=network.encoder.pyramid) as look:
        together, losses = network(shared)
    assert [len(call.args[0]) for call in look.call_args_list] == [2]
    apart, expected = network(repeated(shared))
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)


def test_the_text_matters() -> None:
    network, data = segmentor().eval(), batch(1)
    tokens = network.encoder.tokenize(TEXTS[:2])
    logits = network.segment(network.encode(data.images), tokens, torch.zeros(2).long(), (8, 8))
    assert (logits[0] - logits[1]).abs().max() > 1e-4


def test_gradient_reaches_both_towers_and_every_new_weight() -> None:
    network = segmentor(coordinates=True)
    sum(network(batch(3))[1].values()).backward()
    clip: Any = network.encoder.clip
    assert clip.visual.conv1.weight.grad.abs().sum() > 0
    assert clip.token_embedding.weight.grad.abs().sum() > 0
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert all(name.startswith("encoder.clip.") for name in silent)


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="masks"):
        segmentor()(dataclasses.replace(batch(2), masks=None))
    with pytest.raises(ValueError, match="loss"):
        segmentor(loss="dice")
    with pytest.raises(ValueError, match="levels"):
        segmentor(levels=(4,))


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        network = segmentor()
        sum(network(batch(3))[1].values()).backward()
        results.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_bfloat16_autocast_stays_near_float32() -> None:
    network, data = segmentor().eval(), batch(2)
    exact, _ = network(data)
    with torch.autocast("cpu", torch.bfloat16):
        rough, losses = network(data)
    assert rough.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("loss", ["bce", "ce_dice"])
def test_four_images_are_learned_by_heart(loss: str) -> None:
    network, data = segmentor(loss=loss), batch(4)
    assert data.masks is not None
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(50):
        _, losses = network(data)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    logits, _ = network(data)
    wrong = ((logits > 0) != (data.masks > 0.5)).float().mean()
    assert wrong < 0.03


def test_the_registry_names_it() -> None:
    assert SEGMENTORS["tris"] is TrisSegmentor


def test_the_loss_may_be_taken_of_averaged_masks() -> None:
    network, data = segmentor(loss_stride=2).eval(), batch(2)
    assert data.masks is not None
    logits, losses = network(data)
    assert logits.shape == (2, 1, SIDE // 2, SIDE // 2)
    halved = functional.avg_pool2d(data.masks, 2)
    expected = functional.binary_cross_entropy_with_logits(logits, halved)
    assert losses["segmentation"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_film_lets_the_sentence_reach_every_scale() -> None:
    network, data = segmentor(film=True).eval(), batch(1)
    for attention in network.attentions.values():  # silence the other road of the text
        torch.nn.init.zeros_(attention.out[0].weight)
        torch.nn.init.constant_(attention.out[0].bias, -1.0)
    tokens, owner = network.encoder.tokenize(TEXTS[:2]), torch.zeros(2).long()
    stages, sentence = network._fuse(network.encode(data.images), tokens, owner)
    assert sentence.square().mean(dim=1).tolist() == pytest.approx([1.0, 1.0], rel=1e-4)
    for scale in network.decoder(stages, sentence, coarse=True):
        assert (scale[0] - scale[1]).abs().max() > 1e-5
