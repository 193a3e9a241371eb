"""EHIN's losses: Eq. 15 in both weights of the negatives, and the halves of TRIS's Eq. 18-19."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pipeline import losses
from pipeline.localizers.critic import Critic
from pipeline.localizers.ehin_losses import contrastive_alignment, matched, unmatched

CLAMP = {"floor": 1e-4, "ceiling": 0.9999}


def test_equation_15_by_hand() -> None:
    similarity = torch.tensor([[0.5, 0.2, 0.4]])
    negative = -(math.log(0.8) + math.log(0.6))
    printed = contrastive_alignment(similarity, negatives="sum_times_k", **CLAMP)
    mean = contrastive_alignment(similarity, negatives="mean", **CLAMP)
    assert printed.item() == pytest.approx(-math.log(0.5) + 2 * negative)
    assert mean.item() == pytest.approx(-math.log(0.5) + negative / 2)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_negatives_of_one_kind_weigh_k_squared_or_one(count: int) -> None:
    similarity = torch.full((4, 1 + count), 0.3)
    positive, negative = -math.log(0.3), -math.log(0.7)
    for rule, weight in (("sum_times_k", count**2), ("mean", 1)):
        found = contrastive_alignment(similarity, negatives=rule, **CLAMP)
        assert found.item() == pytest.approx(positive + weight * negative, rel=1e-5)


def test_any_cosine_costs_a_finite_amount_in_float32() -> None:
    similarity = torch.tensor([[-1.0, 1.0], [1.0, -1.0]], dtype=torch.bfloat16, requires_grad=True)
    found = contrastive_alignment(similarity, negatives="sum_times_k", **CLAMP)
    found.backward()
    assert found.dtype == torch.float32
    assert found.isfinite() and found >= 0
    assert similarity.grad is not None and similarity.grad.isfinite().all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="sum_times_k or mean"):
        contrastive_alignment(torch.zeros(1, 2), negatives="sum", **CLAMP)  # type: ignore[arg-type]


class ColourClip(nn.Module):
    """A CLIP that sees the mean colour; a text is the number of a colour."""

    image_size = 8
    std = (1.0, 1.0, 1.0)
    mean = (0.0, 0.0, 0.0)

    def embed_images(self, images: Tensor) -> Tensor:
        return images.mean(dim=(-2, -1))

    def sentence(self, tokens: Tensor) -> Tensor:
        return torch.eye(3)[tokens[:, 0]]


def eclm_of(response: Tensor) -> Tensor:
    """Of an image, red on the left and green on the right, asked for red and not for green."""
    image = torch.zeros(1, 3, 8, 8)
    image[:, 0, :, :4] = 1
    image[:, 1, :, 4:] = 1
    clip = ColourClip()
    critic = Critic(clip, mean=clip.mean, std=clip.std)  # type: ignore[arg-type]
    tokens = torch.tensor([[[0], [1]]])
    return contrastive_alignment(
        critic.similarity(image, response, tokens), negatives="sum_times_k", **CLAMP
    )


def left_to_right(share: float) -> Tensor:
    """A response of 2 x 2 that is high left (share 0), right (share 1), or between."""
    return (8 * torch.tensor([1 - 2 * share, 2 * share - 1])).expand(1, 1, 2, 2)


def test_the_loss_falls_when_the_map_moves_to_the_right_object() -> None:
    """`right` as in correct: the red one, which is on the left."""
    found = [eclm_of(left_to_right(share)).item() for share in (1, 0.75, 0.5, 0.25, 0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.1 < 5 < found[0]


def test_following_its_gradient_moves_the_map_to_the_right_object() -> None:
    response = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(eclm_of(response), response)
        response = (response - gradient).detach().requires_grad_()
    assert response[..., 0].min() > 1
    assert response[..., 1].max() < -1


def test_the_halves_are_those_of_the_multi_label_soft_margin() -> None:
    generator = torch.Generator().manual_seed(0)
    score = torch.randn(3, 5, generator=generator) * 4
    positive = torch.rand(3, 5, generator=generator) < 0.4
    counted = positive | (torch.rand(3, 5, generator=generator) < 0.5)
    negative = counted & ~positive
    whole = losses.multi_label_soft_margin(score, positive, counted) * counted.sum()
    halves = matched(score, positive) * positive.sum()
    halves = halves + unmatched(score, negative) * negative.sum()
    torch.testing.assert_close(halves, whole)


def test_they_are_minus_log_of_sim_and_of_its_rest() -> None:
    score = torch.tensor([[0.3, -1.2]])
    sim = score.sigmoid()
    every = torch.ones(1, 2, dtype=torch.bool)
    torch.testing.assert_close(matched(score, every), -sim.log().mean())
    torch.testing.assert_close(unmatched(score, every), -(1 - sim).log().mean())


def test_a_batch_without_negative_pairs_costs_nothing() -> None:
    score = torch.tensor([[5.0]], requires_grad=True)
    found = unmatched(score, torch.zeros(1, 1, dtype=torch.bool))
    found.backward()
    assert found == 0
    assert score.grad is not None and (score.grad == 0).all()
