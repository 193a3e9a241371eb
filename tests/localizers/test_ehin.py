"""EHIN Stage-1 on a tiny real CLIP: beside TRIS, its two levels, readings and negatives."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import losses
from pipeline.localizers import LOCALIZERS
from pipeline.localizers.ehin import EhinLocalizer
from pipeline.records import Batch
from tests.networks import TEXTS, batch, ehin, localizer, repeated, transformer

LEVELS = pytest.mark.parametrize("level", ["early", "late"])
SIMILARITIES = pytest.mark.parametrize("similarity", ["response", "clip"])


def looks(network: EhinLocalizer, data: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The losses, and the responses through which the critic saw the images."""
    assert network.critic is not None
    with mock.patch.object(network.critic, "similarity", wraps=network.critic.similarity) as look:
        found = network(data)[1]
    return found, [call.args[1] for call in look.call_args_list]


@LEVELS
@SIMILARITIES
@pytest.mark.parametrize("rows", [1, 3])
def test_shapes_and_names(level: str, similarity: str, rows: int) -> None:
    response, found = ehin(level=level, similarity=similarity)(batch(rows))
    assert response.shape == (rows, 1, 2, 2)
    assert response.dtype == torch.float32
    assert list(found) == ["foreground", "eclm", "background", "contrast"]
    assert all(loss.shape == () and loss.isfinite() and loss >= 0 for loss in found.values())


@LEVELS
@SIMILARITIES
def test_one_pixel_and_one_text(level: str, similarity: str) -> None:
    # the encoder's own batch norm cannot train on one pixel
    network = ehin(level=level, similarity=similarity).eval()
    response, found = network(batch(1, side=16))
    assert response.shape == (1, 1, 1, 1)
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_a_vision_transformer_serves_as_well() -> None:
    response, found = ehin(encoder=transformer(), levels=(0,))(batch(2))
    assert response.shape == (2, 1, 4, 4)
    torch.stack(list(found.values())).sum().backward()


@pytest.mark.parametrize("rows", [1, 4])
def test_one_prompt_and_no_residual_is_tris(rows: int) -> None:
    tris, network = localizer().eval(), ehin(prompts=1, residual="none").eval()
    network.load_state_dict(
        {
            key.replace("prompt.", "hipm.prompts.0.", 1): value
            for key, value in tris.state_dict().items()
        }
    )
    data = batch(rows)
    torch.testing.assert_close(network(data)[0], tris(data)[0])
    features, owner = network.encode(data.images), torch.arange(rows)
    torch.testing.assert_close(
        network.respond(features, data.tokens, owner), tris.respond(features, data.tokens, owner)
    )


def test_without_weights_the_response_is_the_scaled_cosine() -> None:
    network, data = ehin(alpha=0.0, beta=0.0).eval(), batch(3)
    pixels = network.encode(data.images)
    texts = functional.normalize(network.text(network.encoder.sentence(data.tokens)), dim=-1)
    expected = torch.einsum("bchw,bc->bhw", pixels, texts)[:, None] / 0.07
    torch.testing.assert_close(network(data)[0], expected, rtol=1e-4, atol=1e-4)


@SIMILARITIES
def test_early_and_late_differ_only_in_the_map_they_mask_with(similarity: str) -> None:
    data = batch(4, images=2)
    options: dict[str, Any] = {"similarity": similarity, "alpha": 0.3, "beta": 0.2}
    networks = {level: ehin(level=level, **options).eval() for level in ("early", "late")}
    for (name, one), (_, other) in zip(
        networks["early"].state_dict().items(), networks["late"].state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), name
    assert torch.equal(networks["early"](data)[0], networks["late"](data)[0])
    early, early_maps = looks(networks["early"], data)
    late, late_maps = looks(networks["late"], data)
    for term in ("foreground", "background", "contrast"):
        assert torch.equal(early[term], late[term])
    assert not torch.equal(early["eclm"], late["eclm"])

    plain = ehin(alpha=0.0, beta=0.0).eval()
    plain.load_state_dict(networks["early"].state_dict())
    before, after = plain(data)[0], networks["late"](data)[0]
    torch.testing.assert_close(early_maps[-1], before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(late_maps[-1], after)
    # the maps that judge the response itself are the late ones, seen once if eclm wants them too
    assert len(early_maps) == (2 if similarity == "clip" else 1)
    assert len(late_maps) == 1


def test_without_a_hierarchy_early_is_late() -> None:
    data = batch(3)
    early, late = (ehin(level=level, alpha=0.0, beta=0.0)(data)[1] for level in ("early", "late"))
    torch.testing.assert_close(early["eclm"], late["eclm"])


@LEVELS
def test_the_early_contrast_teaches_the_encoders_and_not_the_hierarchy(level: str) -> None:
    network = ehin(level=level, terms=("eclm",))
    network(batch(3))[1]["eclm"].backward()
    clip: Any = network.encoder.clip
    assert clip.visual.conv1.weight.grad.abs().sum() > 0
    assert clip.token_embedding.weight.grad.abs().sum() > 0
    taught = any(p.grad is not None and p.grad.any() for p in network.hipm.parameters())
    assert taught == (level == "late")


@SIMILARITIES
def test_every_new_weight_learns(similarity: str) -> None:
    network = ehin(similarity=similarity, terms=("foreground", "eclm", "background"))
    torch.stack(list(network(batch(4))[1].values())).sum().backward()
    silent = {name for name, p in network.named_parameters() if p.grad is None}
    # only the pool of CLIP's own image embedding and its temperature take no part
    assert all(
        name.startswith(("encoder.clip.visual.attnpool", "encoder.clip.logit")) for name in silent
    )


def test_the_response_reading_is_the_halves_of_tris_classification() -> None:
    network, data = ehin().eval(), batch(4, images=2)
    network.terms = ("foreground", "background")
    with (
        mock.patch.object(losses, "focal_image_score", wraps=losses.focal_image_score) as scored,
        torch.no_grad(),
    ):
        found = network(data)[1]
    score = losses.focal_image_score(scored.call_args.args[0], power=3.0, floor=0.01)
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    torch.testing.assert_close(found["foreground"], -score.sigmoid()[own].log().mean())
    torch.testing.assert_close(found["background"], -(1 - score.sigmoid())[~own].log().mean())


def test_the_clip_reading_is_the_cosine_of_the_masked_image() -> None:
    network, data = ehin(similarity="clip").eval(), batch(3)
    response, found = network(data)
    assert network.critic is not None and data.negatives is not None
    tokens = torch.cat([data.tokens[:, None], data.negatives], dim=1)
    cosine = network.critic.similarity(data.images, response, tokens).clamp(1e-4, 0.9999)
    torch.testing.assert_close(found["foreground"], -cosine[:, 0].log().mean())
    torch.testing.assert_close(found["background"], -(1 - cosine[:, 1:]).log().mean())


def test_the_response_reading_asks_no_critic() -> None:
    network = ehin(critic=None, terms=("foreground", "background", "contrast"))
    network(dataclasses.replace(batch(2), negatives=None))
    for similarity, terms, needed in (
        ("response", ("foreground", "background", "contrast"), False),
        ("response", ("eclm",), True),
        ("clip", ("background",), True),
        ("clip", ("contrast",), False),
    ):
        assert EhinLocalizer.needs_critic(terms, similarity) == needed


@LEVELS
@pytest.mark.parametrize("count", [1, 2, 6])
def test_all_negatives_of_the_batch_count(level: str, count: int) -> None:
    data = batch(3)
    assert data.negatives is not None
    data = dataclasses.replace(data, negatives=data.negatives[:, torch.arange(count) % 2])
    network = ehin(level=level, negatives="mean", terms=("eclm",)).eval()
    printed = ehin(level=level, terms=("eclm",)).eval()
    assert network.critic is not None
    with mock.patch.object(network.critic, "similarity", wraps=network.critic.similarity) as look:
        mean = network(data)[1]["eclm"]
    tokens = look.call_args.args[2]
    assert torch.equal(tokens[:, 0], data.tokens)
    assert torch.equal(tokens[:, 1:], data.negatives)
    if count == 1:
        torch.testing.assert_close(printed(data)[1]["eclm"], mean)
    else:
        assert printed(data)[1]["eclm"] > mean


def test_equal_texts_are_not_negatives_of_each_other() -> None:
    data = batch(2)
    same = dataclasses.replace(
        data, tokens=data.tokens[[0, 0]], text_ids=torch.zeros(2, dtype=torch.int64)
    )
    network = ehin(terms=("foreground", "background"))
    assert network(same)[1]["background"] == 0
    assert network(data)[1]["background"] > 0
    with pytest.raises(ValueError, match="positives must be text or referent"):
        ehin(positives="identity")


def test_texts_of_other_referents_of_an_image_are_no_background_of_it() -> None:
    data = batch(2, images=1)
    data = dataclasses.replace(data, ref_ids=torch.tensor([0, 1]))
    assert ehin(terms=("background",))(data)[1]["background"] == 0


@LEVELS
@SIMILARITIES
def test_texts_that_share_an_image_get_what_copies_of_it_would_give(
    level: str, similarity: str
) -> None:
    network = ehin(level=level, similarity=similarity).eval()
    shared = batch(6, images=3)
    together, found = network(shared)
    apart, expected = network(repeated(shared))
    assert together.shape == (6, 1, 2, 2)
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-3)
    # not the contrast, where the copies of an image are further rivals of the other texts
    for term in ("foreground", "eclm", "background"):
        torch.testing.assert_close(found[term], expected[term], rtol=1e-3, atol=1e-4)


def test_an_image_is_encoded_once_for_all_its_texts() -> None:
    network = ehin()
    with mock.patch.object(network.encoder, "pyramid", wraps=network.encoder.pyramid) as look:
        network(batch(6, images=2))
    assert [len(call.args[0]) for call in look.call_args_list] == [2]


@torch.no_grad()
def test_texts_of_one_image_together_are_each_alone() -> None:
    network, data = ehin(critic=None, terms=()).eval(), batch(2)
    tokens = network.encoder.tokenize(TEXTS)
    owner = torch.tensor([0, 1, 1, 0, 1, 0])
    together = network.respond(network.encode(data.images), tokens, owner)
    assert together.shape == (6, 1, 2, 2)
    for row, image in enumerate(owner.tolist()):
        features = network.encode(data.images[image : image + 1])
        alone = network.respond(features, tokens[row : row + 1], torch.tensor([0]))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_trained_with_one_text_it_answers_as_it_was_trained() -> None:
    network, data = ehin().eval(), batch(1)
    answered = network.respond(network.encode(data.images), data.tokens, torch.tensor([0]))
    torch.testing.assert_close(answered, network(data)[0], rtol=1e-3, atol=1e-3)


@LEVELS
@SIMILARITIES
def test_bfloat16_autocast_stays_near_float32(level: str, similarity: str) -> None:
    network, data = ehin(level=level, similarity=similarity).eval(), batch(4, images=2)
    exact, _ = network(data)
    with torch.autocast("cpu", torch.bfloat16):
        rough, found = network(data)
        answered = network.respond(network.encode(data.images), data.tokens, data.owner)
    assert rough.dtype == answered.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in found.values())
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.5)


def test_the_critic_is_neither_saved_nor_trained_and_follows_the_network() -> None:
    network = ehin()
    assert network.critic is not None
    frozen = network.critic.encoder
    assert set(network.state_dict()) == set(ehin(critic=None, terms=()).state_dict())
    assert {id(p) for p in network.parameters()}.isdisjoint({id(p) for p in frozen.parameters()})
    torch.stack(list(network.train()(batch(3))[1].values())).sum().backward()
    assert not frozen.training
    assert all(p.grad is None for p in frozen.parameters())
    clip: Any = frozen
    assert network.double() and clip.clip.text_projection.dtype == torch.float64
    assert copy.deepcopy(network).critic is network.critic


def test_a_term_that_is_not_named_costs_nothing() -> None:
    network, data = ehin(), batch(2)
    for terms, seen in (
        (("foreground",), 0),
        (("eclm",), 1),
        (("background", "eclm", "foreground"), 1),
    ):
        network.terms = terms  # type: ignore[assignment]
        found, maps = looks(network, data)
        assert (list(found), len(maps)) == (list(terms), seen)


@torch.no_grad()
def test_the_clip_start_is_that_of_tris() -> None:
    data = batch(2)
    tris = localizer(hidden=16, projection="clip", alpha=0.0).eval()
    network = ehin(hidden=16, projection="clip", alpha=0.0, beta=0.0).eval()
    torch.testing.assert_close(network(data)[0], tris(data)[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"critic": None}, "critic"),
        ({"critic": None, "terms": ("background",), "similarity": "clip"}, "critic"),
        ({"terms": ("forground",)}, "terms"),
        ({"level": "middle"}, "early or late"),
        ({"similarity": "cosine"}, "response or clip"),
        ({"projection": "zero"}, "random or clip"),
        ({"projection": "clip", "hidden": 24}, "hidden = 16"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ehin(**options)


def test_a_batch_without_negatives_is_refused() -> None:
    with pytest.raises(ValueError, match="negatives"):
        ehin()(dataclasses.replace(batch(2), negatives=None))


@LEVELS
def test_the_same_seed_gives_the_same_bits(level: str) -> None:
    results = []
    for _ in range(2):
        network = ehin(level=level)
        torch.stack(list(network(batch(3))[1].values())).sum().backward()
        results.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_few_steps_learn_to_tell_images_apart() -> None:
    network, data = ehin(critic=None, terms=("foreground", "background")), batch(4)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    history = []
    for _ in range(40):
        loss = torch.stack(list(network(data)[1].values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.1 * history[0]


def test_the_registry_names_it() -> None:
    assert LOCALIZERS["ehin"] is EhinLocalizer
