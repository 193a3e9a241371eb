"""TRIS Stage-1 on a tiny real CLIP: shapes, agreement of its two faces, losses, the critic."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import functional

from pipeline.encoders.resnet import attention_pool
from pipeline.localizers import LOCALIZERS
from pipeline.localizers.tris import TERMS, TrisLocalizer
from tests.networks import TEXTS, batch, encoder, localizer, repeated

KINDS = ("weight", "bias")
MODES = pytest.mark.parametrize("mode", ["batch", "own"])


def with_critic(**options: Any) -> TrisLocalizer:
    return localizer(critic=encoder(1), terms=TERMS, **options)


@MODES
@pytest.mark.parametrize("rows", [1, 3])
def test_shapes_and_names(mode: str, rows: int) -> None:
    response, losses = with_critic(prompt_texts=mode)(batch(rows))
    assert response.shape == (rows, 1, 2, 2)
    assert response.dtype == torch.float32
    assert list(losses) == ["classification", "contrast", "foreground", "calibration"]
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


@MODES
def test_a_map_of_one_pixel(mode: str) -> None:
    network = localizer(prompt_texts=mode)
    response, losses = network(batch(2, side=16))
    assert response.shape == (2, 1, 1, 1)
    losses["classification"].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_levels_make_the_map_finer() -> None:
    network = localizer(levels=(1, 3), coordinates=True, prompt_texts="own")
    response, _ = network(batch(2))
    assert response.shape == (2, 1, 4, 4)


@MODES
def test_without_alpha_the_response_is_the_scaled_cosine(mode: str) -> None:
    network, data = localizer(alpha=0.0, prompt_texts=mode).eval(), batch(3)
    response, _ = network(data)
    pixels = network.encode(data.images)
    texts = functional.normalize(network.text(network.encoder.sentence(data.tokens)), dim=-1)
    expected = torch.einsum("bchw,bc->bhw", pixels, texts)[:, None] / 0.07
    torch.testing.assert_close(response, expected, rtol=1e-4, atol=1e-4)
    assert network.log_scale.item() == pytest.approx(math.log(1 / 0.07))


@MODES
def test_texts_of_one_image_together_are_each_alone(mode: str) -> None:
    network, data = localizer(prompt_texts=mode).eval(), batch(2)
    tokens = network.encoder.tokenize(TEXTS)
    owner = torch.tensor([0, 1, 1, 0, 1, 0])
    features = network.encode(data.images)
    together = network.respond(features, tokens, owner)
    assert together.shape == (6, 1, 2, 2)
    for row, image in enumerate(owner.tolist()):
        alone = network.respond(
            network.encode(data.images[image : image + 1]),
            tokens[row : row + 1],
            torch.tensor([0]),
        )
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_an_image_is_prompted_once_for_all_its_texts() -> None:
    """As published, where each text by itself tells all pixels the same."""
    network = localizer().eval()
    network.prompt.visual_norm.bias.normal_()  # 0 at the start, where a missing one does not show
    features = network.encode(batch(2).images)
    tokens, owner = network.encoder.tokenize(TEXTS), torch.tensor([1, 0, 1, 1, 0, 1])
    with (
        mock.patch.object(network.prompt, "read_texts") as read_texts,
        mock.patch.object(
            network.prompt, "read_image", wraps=network.prompt.read_image
        ) as read_image,
    ):
        once = network.respond(features, tokens, owner)
    assert read_texts.call_count == 0
    assert [call.args[0].shape[:2] for call in read_image.call_args_list] == [(2, 4)]
    pixels = features.flatten(2).transpose(1, 2)
    for row, image in enumerate(owner.tolist()):
        text = functional.normalize(
            network.text(network.encoder.sentence(tokens[row : row + 1])), dim=-1
        )
        mine = pixels[image : image + 1]
        prompted = mine + 0.1 * network.prompt.read_texts(mine, text[None])
        expected = (text + 0.1 * network.prompt.read_image(mine, text[None])) @ prompted.mT / 0.07
        torch.testing.assert_close(once[row].flatten(), expected.flatten(), rtol=1e-3, atol=1e-3)


@MODES
def test_the_weights_have_the_names_of_trained_runs(mode: str) -> None:
    names = [name for name in localizer(prompt_texts=mode).state_dict() if "encoder" not in name]
    word = ["word.weight", "word.bias"] if mode == "own" else []
    norms = [f"{part}.{kind}" for part in ("0", "1") for kind in ("weight", "bias")]
    assert names == [
        "log_scale",
        "visual.convolutions.0.weight",
        "visual.convolutions.0.bias",
        "text.weight",
        "text.bias",
        *word,
        *(f"prompt.visual_query.{name}" for name in norms),
        *(f"prompt.visual_context.{name}" for name in norms),
        *(f"prompt.text_{of}.0.{kind}" for of in ("query", "context") for kind in KINDS),
        "prompt.visual_out.weight",
        *(f"prompt.{of}.{kind}" for of in ("visual_norm", "text_out") for kind in KINDS),
    ]


@MODES
def test_texts_that_share_an_image_get_what_copies_of_it_would_give(mode: str) -> None:
    network = with_critic(prompt_texts=mode, positives="referent").eval()
    shared = batch(6, images=3)
    together, losses = network(shared)
    apart, expected = network(repeated(shared))
    assert together.shape == (6, 1, 2, 2)
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3)
    # all images have equally many texts, each of one referent: the same mean over pairs.
    # Not the contrast, where the copies of an image were further rivals of the other texts.
    for term in ("classification", "foreground", "calibration"):
        torch.testing.assert_close(losses[term], expected[term], rtol=1e-4, atol=1e-5)
    assert losses["contrast"] < expected["contrast"]


def test_an_image_is_encoded_once_for_all_its_texts() -> None:
    network = localizer()
    with mock.patch.object(network.encoder, "pyramid", wraps=network.encoder.pyramid) as look:
        network(batch(6, images=2))
    assert [len(call.args[0]) for call in look.call_args_list] == [2]


@torch.no_grad()
def test_uneven_texts_find_their_own_image() -> None:
    network = localizer(prompt_texts="own").eval()
    shared = batch(5, images=3)
    shared.owner = torch.tensor([2, 0, 0, 1, 0])
    response, _ = network(shared)
    expected = network.respond(network.encode(shared.images), shared.tokens, shared.owner)
    torch.testing.assert_close(response, expected, rtol=1e-3, atol=1e-3)


@MODES
@torch.no_grad()
def test_the_clip_start_is_clips_own_view_of_a_pixel(mode: str) -> None:
    """The cosine of a sentence and CLIP's embedding of a picture that is this pixel alone."""
    eye = encoder(0).eval()
    # places differ, and the start takes their mean: with one place for all it is exact
    place = eye.clip.visual.attnpool.positional_embedding
    place.copy_(place[1:].mean(dim=0, keepdim=True).expand_as(place))
    network = localizer(
        encoder=eye,
        projection="clip",
        hidden=16,
        alpha=0.0,
        prompt_texts=mode,
        levels=(2, -1),
        coordinates=True,
    ).eval()
    data = batch(2)
    response, _ = network(data)
    last = eye.pyramid(data.images)[-1]
    alone = last.permute(0, 2, 3, 1).reshape(-1, last.shape[1], 1, 1)
    seen = attention_pool(eye.clip.visual.attnpool, alone).unflatten(0, (2, 4))
    cosine = functional.cosine_similarity(seen, eye.sentence(data.tokens)[:, None], dim=-1)
    assert cosine.std() > 0.01
    torch.testing.assert_close(response.flatten(1), cosine / 0.07, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_clip_start_leaves_what_it_does_not_set_to_chance() -> None:
    drawn, started = localizer(hidden=16), localizer(hidden=16, projection="clip")
    differing = {
        name
        for name, value in started.state_dict().items()
        if not torch.equal(value, drawn.state_dict()[name])
    }
    assert differing == {
        "visual.convolutions.0.weight",
        "visual.convolutions.0.bias",
        "text.weight",
        "text.bias",
    }


def test_own_words_make_training_and_inference_agree_and_batch_texts_do_not() -> None:
    data = batch(4)
    difference = {}
    for mode in ("own", "batch"):
        network = localizer(prompt_texts=mode).eval()
        trained, _ = network(data)
        used = network.respond(network.encode(data.images), data.tokens, torch.arange(4))
        difference[mode] = float((trained - used).detach().abs().max())
    assert difference["own"] < 1e-3
    assert difference["batch"] > 1e-2


def test_equal_texts_are_positives_of_each_other_unless_identity() -> None:
    data = batch(2)
    same = dataclasses.replace(
        data, tokens=data.tokens[[0, 0]], text_ids=torch.zeros(2, dtype=torch.int64)
    )
    loss = {
        rule: localizer(positives=rule)(same)[1]["classification"] for rule in ("identity", "text")
    }
    assert abs(loss["identity"] - loss["text"]) > 1e-3


@MODES
def test_gradient_reaches_both_towers_and_every_new_weight(mode: str) -> None:
    network = localizer(prompt_texts=mode)
    network(batch(4))[1]["classification"].backward()
    clip: Any = network.encoder.clip
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    silent = {name for name, p in network.named_parameters() if p.grad is None}
    assert clip.visual.conv1.weight.grad.abs().sum() > 0
    assert clip.token_embedding.weight.grad.abs().sum() > 0
    assert "log_scale" in reached
    # only the pool of CLIP's own image embedding and its temperature take no part
    assert all(
        name.startswith(("encoder.clip.visual.attnpool", "encoder.clip.logit")) for name in silent
    )


def test_the_critic_is_neither_saved_nor_trained() -> None:
    network = with_critic()
    assert network.critic is not None
    frozen = network.critic.encoder
    before = copy.deepcopy(frozen.state_dict())
    assert set(network.state_dict()) == set(localizer().state_dict())
    assert {id(p) for p in network.parameters()}.isdisjoint({id(p) for p in frozen.parameters()})
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    network.train()
    sum(network(batch(3))[1].values()).backward()
    optimiser.step()
    assert not frozen.training
    assert all(torch.equal(before[key], value) for key, value in frozen.state_dict().items())


def test_the_critic_follows_the_network_and_survives_a_copy() -> None:
    network = with_critic().double()
    assert network.critic is not None
    eye: Any = network.critic.encoder
    assert eye.clip.text_projection.dtype == torch.float64
    assert copy.deepcopy(network).critic is network.critic


def test_a_term_that_is_not_named_costs_nothing() -> None:
    network, data = with_critic(), batch(2)
    assert network.critic is not None
    with mock.patch.object(network.critic, "similarity", wraps=network.critic.similarity) as look:
        network.terms = ("classification",)
        assert list(network(data)[1]) == ["classification"]
        assert look.call_count == 0
        network.terms = ("foreground",)
        assert list(network(dataclasses.replace(data, negatives=None))[1]) == ["foreground"]
        assert look.call_args.args[2].shape[1] == 1
        network.terms = ("foreground", "calibration")
        network(data)
        assert look.call_count == 2  # one look for both


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ValueError, match="critic"):
        localizer(terms=("classification", "foreground"))
    with pytest.raises(ValueError, match="terms"):
        localizer(terms=("clasification",))
    with pytest.raises(ValueError, match="prompt_texts"):
        localizer(prompt_texts="words")
    with pytest.raises(ValueError, match="hidden = 16"):
        localizer(projection="clip", hidden=24)
    with pytest.raises(ValueError, match="negatives"):
        with_critic()(dataclasses.replace(batch(2), negatives=None))


@MODES
def test_the_same_seed_gives_the_same_bits(mode: str) -> None:
    results = []
    for _ in range(2):
        network = with_critic(prompt_texts=mode)
        _, losses = network(batch(3))
        sum(losses.values()).backward()
        results.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@MODES
def test_bfloat16_autocast_stays_near_float32(mode: str) -> None:
    network, data = with_critic(prompt_texts=mode).eval(), batch(4)
    exact, _ = network(data)
    with torch.autocast("cpu", torch.bfloat16):
        rough, losses = network(data)
    assert rough.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.5)


@MODES
@pytest.mark.parametrize("term", ["classification", "contrast"])
def test_a_few_steps_learn_to_tell_images_apart(mode: str, term: str) -> None:
    network, data = localizer(prompt_texts=mode, terms=(term,)), batch(4)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    history = []
    for _ in range(40):
        loss = network(data)[1][term]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.1 * history[0]


def test_the_registry_names_it() -> None:
    assert LOCALIZERS["tris"] is TrisLocalizer
