"""Scores and losses against numbers worked out by hand, and what they push where."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline import losses

# row 1: row 0's text elsewhere; row 2: another sentence of row 0's referent; row 3: a neighbour
ROWS = {
    "text_ids": torch.tensor([5, 5, 6, 7]),
    "image_ids": torch.tensor([1, 2, 1, 1]),
    "ref_ids": torch.tensor([10, 20, 10, 11]),
}


def pairs(rule: losses.PositiveRule) -> set[tuple[int, int]]:
    positive, counted = losses.positives(**ROWS, rule=rule, same_image="negative")
    assert counted.all()
    return {(i, j) for i, j in positive.nonzero().tolist()}


OWN = {(0, 0), (1, 1), (2, 2), (3, 3)}


def test_positive_pairs_by_rule() -> None:
    assert pairs("identity") == OWN
    assert pairs("text") == OWN | {(0, 1), (1, 0)}
    assert pairs("referent") == OWN | {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_the_same_ref_id_in_two_images_is_no_positive_pair() -> None:
    positive, _ = losses.positives(
        torch.tensor([1, 2]),
        torch.tensor([1, 2]),
        torch.tensor([9, 9]),
        rule="referent",
        same_image="negative",
    )
    assert not positive[0, 1] and not positive[1, 0]


def test_texts_of_a_neighbour_in_the_image_can_be_ignored() -> None:
    positive, counted = losses.positives(**ROWS, rule="referent", same_image="ignore")
    assert not counted[0, 3] and not counted[3, 2]
    assert counted[1].all()
    assert counted[positive].all()


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule"):
        losses.positives(**ROWS, rule="image", same_image="negative")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same_image"):
        losses.positives(**ROWS, rule="text", same_image="drop")  # type: ignore[arg-type]


def test_soft_margin_is_torchs_when_all_pairs_count() -> None:
    torch.manual_seed(0)
    score, positive = torch.randn(5, 5), torch.eye(5, dtype=torch.bool)
    expected = functional.multilabel_soft_margin_loss(score, positive.float())
    actual = losses.multi_label_soft_margin(score, positive, torch.ones_like(positive))
    torch.testing.assert_close(actual, expected)


def test_uncounted_pairs_get_no_gradient() -> None:
    score = torch.zeros(2, 2, requires_grad=True)
    counted = torch.tensor([[True, False], [True, True]])
    loss = losses.multi_label_soft_margin(score, torch.eye(2, dtype=torch.bool), counted)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert score.grad is not None and score.grad[0, 1] == 0
    assert score.grad[0, 0] < 0 < score.grad[1, 0]


def test_image_score_by_hand() -> None:
    # one image, two texts, two pixels; softmax over [1, R_1, R_2] at each pixel
    response = torch.tensor([[[2.0, 0.0], [1.0, -1.0]]])
    e = math.exp
    first, second = e(1) + e(2) + e(1), e(1) + e(0) + e(-1)
    share = [(e(2) / first + e(0) / second) / 2, (e(1) / first + e(-1) / second) / 2]
    penalty = [(1 - m) ** 3 * math.log(0.01 + m) for m in share]
    expected = torch.tensor([[1.0 + 2.0 + penalty[0], 0.0 + 1.0 + penalty[1]]])
    torch.testing.assert_close(losses.focal_image_score(response, power=3, floor=0.01), expected)


def test_the_focal_penalty_asks_for_more_than_one_pixel() -> None:
    small, large = torch.full((1, 1, 100), -10.0), torch.full((1, 1, 100), -10.0)
    small[..., :1], large[..., :30] = 10.0, 10.0

    def penalty(response: Tensor) -> float:
        score = losses.focal_image_score(response, power=3, floor=0.01)
        return float(score - response.mean() - response.max())

    assert penalty(small) < penalty(large) < 0


@pytest.mark.parametrize(
    ("loss", "sign"), [(losses.foreground, -1), (losses.calibration, 1)], ids=["pulls", "pushes"]
)
def test_foreground_pulls_and_calibration_pushes(loss: Callable[..., Tensor], sign: int) -> None:
    cosine = torch.tensor([0.2, 0.7], requires_grad=True)
    loss(cosine, floor=1e-4, ceiling=0.9999).backward()
    assert cosine.grad is not None
    assert (cosine.grad.sign() == sign).all()


def test_cosine_losses_by_hand_and_at_their_clamps() -> None:
    clamp = {"floor": 1e-4, "ceiling": 0.9999}
    half = torch.tensor([0.5, 0.25])
    assert losses.foreground(half, **clamp).item() == pytest.approx(math.log(8) / 2)
    assert losses.calibration(half, **clamp).item() == pytest.approx(math.log(8 / 3) / 2)
    for loss, worst in ((losses.foreground, -1.0), (losses.calibration, 1.0)):
        assert loss(torch.tensor([worst]), **clamp).item() == pytest.approx(-math.log(1e-4), 1e-3)


def test_calibration_is_float32_for_a_bfloat16_cosine() -> None:
    cosine = torch.tensor([0.996], dtype=torch.bfloat16)
    loss = losses.calibration(cosine, floor=1e-4, ceiling=0.9999)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(-math.log(1 - float(cosine)), rel=1e-5)


def test_the_cosine_of_a_zero_vector_is_zero_with_a_finite_gradient() -> None:
    vector = torch.zeros(1, 4, requires_grad=True)
    cosine = losses.cosine(vector, torch.ones(1, 4))
    cosine.sum().backward()
    assert cosine.item() == 0
    assert vector.grad is not None and vector.grad.isfinite().all()


@pytest.mark.parametrize("extreme", [-1e4, 0.0, 1e4])
def test_nothing_finite_gives_nan(extreme: float) -> None:
    response = torch.full((2, 2, 4), extreme, requires_grad=True)
    score = losses.focal_image_score(response, power=3, floor=0.01)
    own = torch.eye(2, dtype=torch.bool)
    logits = torch.full((1, 1, 2, 2), extreme, requires_grad=True)
    mask = torch.zeros(1, 1, 2, 2)
    total = (
        losses.multi_label_soft_margin(score, own, torch.ones_like(own))
        + losses.mask_cross_entropy(logits, mask)
        + losses.dice(logits, mask)
    )
    total.backward()
    assert total.isfinite()
    assert response.grad is not None and response.grad.isfinite().all()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_dice_at_its_ends() -> None:
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., :5] = 1
    sure = (mask * 2 - 1) * 50
    assert losses.dice(sure, mask).item() == pytest.approx(0, abs=1e-6)
    assert losses.dice(-sure, mask).item() == pytest.approx(1 - 1 / 101)
    nothing = torch.full((1, 1, 10, 10), -50.0)
    assert losses.dice(nothing, torch.zeros_like(mask)).item() == pytest.approx(0, abs=1e-6)


def test_dice_is_a_mean_over_samples_not_over_pixels() -> None:
    masks = torch.zeros(2, 1, 4, 4)
    masks[1] = 1
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    each = [losses.dice(logits[i : i + 1], masks[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(losses.dice(logits, masks), torch.stack(each).mean())


def test_soft_iou_of_binary_maps_is_iou_and_of_nothing_is_one() -> None:
    first, second = torch.zeros(4, 4), torch.zeros(4, 4)
    first[:2], second[1:3] = 1, 1
    assert losses.soft_iou(first, second).item() == pytest.approx(4 / 12)
    assert losses.soft_iou(first * 0, second * 0).item() == 1
    assert losses.soft_iou(first, second * 0).item() == 0


def test_soft_iou_compares_one_map_with_many_and_is_differentiable() -> None:
    response = torch.full((4, 4), 0.5, requires_grad=True)
    proposals = torch.stack([torch.ones(4, 4), torch.eye(4)])
    overlap = losses.soft_iou(response, proposals)
    assert overlap.tolist() == pytest.approx([0.5, 2 / 10])
    overlap[0].backward()
    assert response.grad is not None and (response.grad > 0).all()
