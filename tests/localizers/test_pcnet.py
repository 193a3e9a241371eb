"""PCNet Stage-1 on a tiny real CLIP: stages, cues, proposals, and training against inference."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from pipeline import losses
from pipeline.localizers import LOCALIZERS, region_losses
from pipeline.localizers.crm import MODULATIONS
from pipeline.localizers.pcnet import TERMS, PcnetLocalizer
from pipeline.records import Batch
from tests.networks import TEXTS, batch, encoder, localizer, pcnet, repeated, told, transformer

EVERY = pytest.mark.parametrize("modulation", MODULATIONS)


def rows(count: int, **options: Any) -> Batch:
    return told(batch(count, **options))


def moved(network: PcnetLocalizer) -> PcnetLocalizer:
    """As if it had learned something: its attentions start out as nothing."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.stages.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def answers(network: PcnetLocalizer, data: Batch) -> Tensor:
    assert data.cues is not None
    return network.respond(network.encode(data.images), data.tokens, data.owner, data.cues)


@EVERY
@pytest.mark.parametrize(("count", "images"), [(1, 1), (3, 3), (6, 2)])
def test_shapes_and_names(modulation: str, count: int, images: int) -> None:
    response, found = pcnet(modulation=modulation)(rows(count, images=images))
    assert response.shape == (count, 1, 2, 2) and response.dtype == torch.float32
    assert tuple(found) == TERMS
    assert all(loss.shape == () and loss.isfinite() for loss in found.values())


def test_one_pixel_and_one_text() -> None:
    network = pcnet().eval()  # the encoder's own batch norm cannot train on one pixel
    response, found = network(rows(1, side=16))
    assert response.shape == (1, 1, 1, 1)
    torch.stack(list(found.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_a_vision_transformer_serves_as_well() -> None:
    network = pcnet(encoder=transformer(), levels=(0,))
    data = told(batch(3), cell=8)
    assert network.response_size(32) == (4, 4)
    response, found = network(data)
    assert response.shape == (3, 1, 4, 4)
    torch.stack(list(found.values())).sum().backward()
    assert answers(network.eval(), data).shape == (3, 1, 4, 4)


@torch.no_grad()
def test_without_its_modules_it_is_tris_without_its_prompt() -> None:
    data = rows(4, images=2)
    tris = localizer(alpha=0.0, positives="referent", same_image="ignore").eval()
    network = pcnet(stages=1, modulation="none", visual=0, terms=("classification",)).eval()
    copied = {k: v for k, v in tris.state_dict().items() if not k.startswith("prompt.")}
    network.load_state_dict(copied)
    (response, found), (expected, theirs) = network(data), tris(data)
    torch.testing.assert_close(response, expected)
    torch.testing.assert_close(found["classification"], theirs["classification"])
    features = tris.encode(data.images)
    torch.testing.assert_close(
        answers(network, data), tris.respond(features, data.tokens, data.owner)
    )


def test_every_new_weight_learns() -> None:
    network = moved(pcnet(terms=("classification", "shrinking", "disambiguation")))
    torch.stack(list(network(rows(6, images=3))[1].values())).sum().backward()
    silent = {name for name, p in network.named_parameters() if p.grad is None}
    # only the pool of CLIP's own image embedding and its temperature take no part
    assert all(
        name.startswith(("encoder.clip.visual.attnpool", "encoder.clip.logit")) for name in silent
    )
    assert all(p.grad is not None and p.grad.any() for p in network.stages.parameters())


def test_stage_n_is_told_cue_n() -> None:
    network, data = moved(pcnet(negatives=0)).eval(), rows(3)
    assert data.cues is not None
    for cue in range(4):
        changed = data.cues.clone()
        changed[:, cue] = data.tokens[[1, 2, 0]]
        other = dataclasses.replace(data, cues=changed)
        for stage in range(3):
            network.answer = stage
            same = torch.allclose(answers(network, data), answers(network, other), atol=1e-5)
            assert same == (cue > stage)


@torch.no_grad()
def test_a_stage_may_be_told_the_text_itself() -> None:
    data = rows(3)
    assert data.cues is not None
    same = dataclasses.replace(data, cues=data.tokens[:, None].expand_as(data.cues))
    cues, text = (moved(pcnet(negatives=0, told=told)).eval() for told in ("cues", "text"))
    torch.testing.assert_close(answers(text, data), answers(cues, same))
    assert not torch.allclose(answers(cues, data), answers(cues, same), atol=1e-3)


def test_each_stage_can_answer_and_the_last_does() -> None:
    data = rows(3)
    maps = []
    for answer in (0, 1, 2, "last"):
        network = moved(pcnet(negatives=0, visual=0, answer=answer)).eval()
        maps.append(answers(network, data))
    assert torch.equal(maps[2], maps[3])
    assert not torch.allclose(maps[0], maps[1]) and not torch.allclose(maps[1], maps[2])
    torch.testing.assert_close(network(data)[0], maps[3], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@EVERY
def test_texts_of_one_image_together_are_each_alone(modulation: str) -> None:
    network, data = moved(pcnet(modulation=modulation)).eval(), batch(2)
    tokens = network.encoder.tokenize(TEXTS)
    cues = torch.stack([tokens[[(i + 1) % 6, (i + 2) % 6, i]] for i in range(6)])
    owner = torch.tensor([0, 1, 1, 0, 1, 0])
    together = network.respond(network.encode(data.images), tokens, owner, cues)
    assert together.shape == (6, 1, 2, 2)
    for row, image in enumerate(owner.tolist()):
        features = network.encode(data.images[image : image + 1])
        one = slice(row, row + 1)
        alone = network.respond(features, tokens[one], torch.tensor([0]), cues[one])
        torch.testing.assert_close(together[one], alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_without_negatives_and_pixels_that_read_training_and_inference_agree() -> None:
    data = rows(4, images=2)
    same = moved(pcnet(negatives=0, visual=0)).eval()
    torch.testing.assert_close(answers(same, data), same(data)[0], rtol=1e-3, atol=1e-3)
    for options in ({"negatives": "all", "visual": 0}, {"negatives": 0, "visual": 0.5}):
        network = moved(pcnet(**options)).eval()
        assert not torch.allclose(answers(network, data), network(data)[0], atol=1e-3)


def test_equal_phrases_are_read_once() -> None:
    network, data = pcnet(), rows(6)
    with mock.patch.object(network.encoder, "sentence", wraps=network.encoder.sentence) as read:
        network(data)
    assert [len(call.args[0]) for call in read.call_args_list] == [len(TEXTS)]


def test_the_losses_of_the_stages_are_weighed() -> None:
    data = rows(4)
    found = {
        weights: moved(pcnet(stage_weights=weights, terms=("classification", "contrast")))(data)[1]
        for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 2))
    }
    for name in ("classification", "contrast"):
        first, second, third, mean = (losses_[name] for losses_ in found.values())
        assert not torch.allclose(first, third)
        torch.testing.assert_close(mean, (first + second + 2 * third) / 4)


def test_the_region_terms_are_those_of_the_maps_of_the_stages() -> None:
    network, data = moved(pcnet(negatives=0, visual=0)).eval(), rows(6, images=3)
    assert data.proposals is not None
    proposals = data.proposals[data.owner]
    found = network(data)[1]
    maps = []
    for stage in range(3):
        network.answer = stage
        maps.append(region_losses.normalised(answers(network, data)[:, 0]))
    ambiguities = torch.stack(
        [region_losses.ambiguity(m, proposals, alignment="max", background="others") for m in maps]
    )
    expected = region_losses.shrinking(ambiguities, earlier="learns").mean()
    torch.testing.assert_close(found["shrinking"], expected, rtol=1e-3, atol=1e-3)
    # two texts an image, each other's only rival: apart is -1, together 1
    real = region_losses.real_proposals(proposals)
    values = []
    for m in maps:
        scores = region_losses.alignment_scores(m, proposals, alignment="max")
        best = region_losses.best_proposal(scores, real).view(3, 2)
        values.append(torch.where(best[:, 0] == best[:, 1], 1.0, -1.0))
    torch.testing.assert_close(found["disambiguation"], torch.stack(values).mean())


def disambiguation(data: Batch, **options: Any) -> Tensor:
    loss = pcnet(terms=("disambiguation",), **options)(data)[1]["disambiguation"]
    assert loss.requires_grad
    return loss


def test_an_image_with_one_referent_has_nothing_to_disambiguate() -> None:
    data = rows(6, images=3)
    alone = dataclasses.replace(data, ref_ids=data.owner)  # both texts name one referent
    assert disambiguation(alone).item() == 0
    twins = dataclasses.replace(data, text_ids=data.owner)  # two referents, but one text
    assert disambiguation(twins).item() == 0
    assert disambiguation(data).item() != 0
    # of three images one has no rivals: the mean is over the four texts of the two others
    some = dataclasses.replace(data, ref_ids=torch.tensor([0, 1, 2, 2, 3, 4]))
    with mock.patch.object(
        region_losses, "disambiguation", return_value=torch.ones(4, requires_grad=True)
    ) as compared:
        assert disambiguation(some).item() == 1
    assert {len(call.args[0]) for call in compared.call_args_list} == {4}


@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_text_meets_as_many_others_as_it_is_told(others: int) -> None:
    data = rows(6, images=2)  # three texts an image
    with mock.patch.object(
        region_losses, "disambiguation", wraps=region_losses.disambiguation
    ) as compared:
        disambiguation(data, others=others)
    assert {len(call.args[0]) for call in compared.call_args_list} == {6 * min(others, 2)}


def test_images_without_proposals_do_not_count() -> None:
    data = rows(4, images=2)
    assert data.proposals is not None
    half = data.proposals.clone()
    half[1] = 0
    network = moved(pcnet(terms=("shrinking", "disambiguation"))).eval()
    some = network(dataclasses.replace(data, proposals=half))[1]
    none = network(dataclasses.replace(data, proposals=torch.zeros_like(half)))[1]
    assert all(loss.isfinite() for loss in some.values())
    assert [loss.item() for loss in none.values()] == [0, 0]
    torch.stack([*some.values(), *none.values()]).sum().backward()


def test_a_term_that_is_not_named_costs_nothing() -> None:
    network, data = pcnet(terms=("classification",)), rows(3)
    bare = dataclasses.replace(data, proposals=None)
    assert list(network(bare)[1]) == ["classification"]
    network.terms = ("shrinking",)
    with mock.patch.object(losses, "focal_image_score") as scored:
        assert list(network(data)[1]) == ["shrinking"]
    scored.assert_not_called()


def test_what_a_batch_lacks_is_named() -> None:
    data = rows(2)
    assert data.cues is not None and data.proposals is not None
    for lacking, words in (
        ({"cues": None}, "with cues"),
        ({"cues": data.cues[:, :2]}, "2 cues a text are too few for 3"),
        ({"proposals": None}, "with proposals"),
        ({"proposals": torch.ones(2, 5, 3, 3)}, r"\(3, 3\) cells for a response of \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=words):
            pcnet()(dataclasses.replace(data, **lacking))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terms": ("shrink",)}, "terms"),
        ({"stages": 1}, "only one"),
        ({"stages": 4}, "3 of them for 4 stages"),
        ({"answer": 3}, "below the 3 stages"),
        ({"modulation": "sum"}, "modulation must be"),
        ({"told": "words"}, "told must be"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pcnet(**options)


def test_texts_that_share_an_image_get_what_copies_of_it_would_give() -> None:
    network, shared = pcnet(terms=("shrinking",)).eval(), rows(6, images=3)
    apart = told(repeated(shared))
    assert shared.proposals is not None
    apart = dataclasses.replace(apart, proposals=shared.proposals[shared.owner])
    network.negatives = 0
    torch.testing.assert_close(network(shared)[0], network(apart)[0], rtol=1e-3, atol=1e-3)
    together, alone = (network(data)[1]["shrinking"] for data in (shared, apart))
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


@EVERY
def test_bfloat16_autocast_stays_near_float32(modulation: str) -> None:
    # what pixels read of texts is normalised over pixels, and of a random network mostly rounding
    network, data = pcnet(modulation=modulation, visual=0).eval(), rows(4, images=2)
    exact, _ = network(data)
    with torch.autocast("cpu", torch.bfloat16):
        rough, found = network(data)
        answered = answers(network, data)
    assert rough.dtype == answered.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in found.values())
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.5)
    torch.stack(list(found.values())).sum().backward()


def test_the_same_seed_gives_the_same_bits() -> None:
    results = []
    for _ in range(2):
        network = pcnet(negatives=1)
        torch.stack(list(network(rows(6, images=2))[1].values())).sum().backward()
        results.append([p.grad for p in network.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_few_steps_learn_to_tell_images_apart() -> None:
    network, data = pcnet(form="overlap", scores="softmax"), rows(4)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    history = []
    for _ in range(40):
        found = network(data)[1]
        loss = torch.stack(list(found.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(found["classification"].item())
    assert history[-1] < 0.1 * history[0]


def test_the_registry_names_it_and_it_asks_no_critic() -> None:
    assert LOCALIZERS["pcnet"] is PcnetLocalizer
    assert not pcnet().asks_critic(TERMS)
    assert pcnet(encoder=encoder(0, image_size=64)).response_size(64) == (4, 4)
