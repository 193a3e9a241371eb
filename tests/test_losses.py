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
    "owner": torch.arange(4),
    "text_ids": torch.tensor([5, 5, 6, 7]),
    "image_ids": torch.tensor([1, 2, 1, 1]),
    "ref_ids": torch.tensor([10, 20, 10, 11]),
}


def pairs(rule: losses.PositiveRule, *, images: int = 4, **changes: Tensor) -> set[tuple[int, int]]:
    positive, counted = losses.positives(
        **(ROWS | changes), images=images, rule=rule, same_image="negative"
    )
    assert positive.shape == (images, 4)
    assert counted.all()
    return {(i, j) for i, j in positive.nonzero().tolist()}


OWN = {(0, 0), (1, 1), (2, 2), (3, 3)}


def test_positive_pairs_by_rule() -> None:
    assert pairs("identity") == OWN
    assert pairs("text") == OWN | {(0, 1), (1, 0)}
    assert pairs("referent") == OWN | {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_the_same_ref_id_in_two_images_is_no_positive_pair() -> None:
    positive, _ = losses.positives(
        torch.arange(2),
        torch.tensor([1, 2]),
        torch.tensor([1, 2]),
        torch.tensor([9, 9]),
        images=2,
        rule="referent",
        same_image="negative",
    )
    assert not positive[0, 1] and not positive[1, 0]


def test_texts_of_a_neighbour_in_the_image_can_be_ignored() -> None:
    positive, counted = losses.positives(**ROWS, images=4, rule="referent", same_image="ignore")
    assert not counted[0, 3] and not counted[3, 2]
    assert counted[1].all()
    assert counted[positive].all()


def test_all_texts_of_an_image_are_its_own_by_any_rule() -> None:
    # image 0 has texts 0, 2 and 3, of two referents; image 1 has text 1, the same words as text 0
    owner = torch.tensor([0, 1, 0, 0])
    own = {(0, 0), (1, 1), (0, 2), (0, 3)}
    assert pairs("identity", images=2, owner=owner) == own
    assert pairs("text", images=2, owner=owner) == own | {(0, 1), (1, 0)}
    assert pairs("referent", images=2, owner=owner) == own | {(0, 1), (1, 0)}


def test_an_image_twice_in_the_batch_is_ignored_or_negative_for_its_other_referents() -> None:
    # as above, but text 3 has a copy of the image to itself
    owner = torch.tensor([0, 1, 0, 2])
    positive, counted = losses.positives(
        **(ROWS | {"owner": owner}), images=3, rule="referent", same_image="ignore"
    )
    assert positive.tolist() == [
        [True, True, True, False],
        [True, True, False, False],
        [False, False, False, True],
    ]
    assert (~counted).nonzero().tolist() == [[0, 3], [2, 0], [2, 2]]


@pytest.mark.parametrize("rule", ["identity", "text", "referent"])
def test_a_pair_is_positive_if_it_is_for_any_text_of_the_image(rule: losses.PositiveRule) -> None:
    generator = torch.Generator().manual_seed(0)
    owner = torch.randint(5, (20,), generator=generator)
    texts, refs = torch.randint(12, (2, 20), generator=generator)
    images = owner % 4  # images 0 and 4 are the same picture
    shared, _ = losses.positives(
        owner, texts, images, refs, images=5, rule=rule, same_image="negative"
    )
    alone, _ = losses.positives(
        torch.arange(20), texts, images, refs, images=20, rule=rule, same_image="negative"
    )
    for image in range(5):
        assert torch.equal(shared[image], alone[owner == image].any(dim=0))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule"):
        losses.positives(**ROWS, images=4, rule="image", same_image="negative")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same_image"):
        losses.positives(**ROWS, images=4, rule="text", same_image="drop")  # type: ignore[arg-type]


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


OWNER = torch.tensor([0, 0, 1])
SCORE = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.7, 2.0]])


def test_contrast_by_hand() -> None:
    own = losses.own_pairs(OWNER, 2)
    assert own.tolist() == [[True, True, False], [False, False, True]]
    (a, b, c), (d, e, f) = SCORE.exp().tolist()
    right = [
        a / (a + d), b / (b + e), f / (f + c),  # a text picks its image
        a / (a + c), b / (b + c), f / (f + d + e),  # an image picks a text, other own ones aside
    ]  # fmt: skip
    loss = losses.contrast(SCORE, own, own, torch.ones_like(own))
    assert loss.item() == pytest.approx(-sum(math.log(share) for share in right) / 6, rel=1e-6)


def test_contrast_with_one_text_an_image_is_clips_loss() -> None:
    score = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    own = torch.eye(5, dtype=torch.bool)
    target = torch.arange(5)
    expected = functional.cross_entropy(score, target) + functional.cross_entropy(score.t(), target)
    found = losses.contrast(score, own, own, torch.ones_like(own))
    torch.testing.assert_close(found, expected / 2)


def test_contrast_spares_true_and_uncounted_pairs_and_dwells_on_the_hardest() -> None:
    score = SCORE.clone().requires_grad_()
    own = losses.own_pairs(OWNER, 2)
    positive, counted = own.clone(), torch.ones_like(own)
    positive[0, 2], counted[1, 0] = True, False
    losses.contrast(score, own, positive, counted).backward()
    assert score.grad is not None
    assert score.grad[0, 2] == 0 and score.grad[1, 0] == 0
    # pair (0, 0) has no rival left: neither text 2 nor image 1
    assert score.grad[0, 0].abs() < 1e-6
    assert score.grad[0, 1] < 0 < score.grad[1, 1]

    score = torch.tensor([[2.0, 1.9, -3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]], requires_grad=True)
    own = torch.eye(3, dtype=torch.bool)
    losses.contrast(score, own, own, torch.ones_like(own)).backward()
    assert score.grad is not None and score.grad[0, 1] > 50 * score.grad[0, 2] > 0


def test_contrast_without_rivals_costs_nothing() -> None:
    own = torch.ones(1, 3, dtype=torch.bool)
    score = torch.zeros(1, 3, requires_grad=True)
    loss = losses.contrast(score, own, own, own)
    loss.backward()
    assert loss.item() == 0
    assert score.grad is not None and (score.grad == 0).all()


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
        + losses.contrast(score, own, own, torch.ones_like(own))
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


def test_consistency_by_hand() -> None:
    student, teacher = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
    p, q = student.sigmoid(), teacher.sigmoid()
    squared = losses.consistency(student, teacher, kind="mse")
    torch.testing.assert_close(squared, ((p - q) ** 2).mean())
    divergence = losses.consistency(student, teacher, kind="kl")
    expected = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    torch.testing.assert_close(divergence, expected)


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_consistency_teaches_the_student_alone(kind: losses.Consistency) -> None:
    student = torch.tensor([[[[-3.0, 0.5, 200.0, -200.0]]]], requires_grad=True)
    teacher = torch.tensor([[[[2.0, 0.5, -200.0, -200.0]]]], requires_grad=True)
    loss = losses.consistency(student, teacher, kind=kind)
    loss.backward()
    assert teacher.grad is None and student.grad is not None
    slopes = student.grad.flatten().tolist()
    assert loss.isfinite() and slopes[0] < 0  # up, to where the teacher is
    assert slopes[1] == pytest.approx(0, abs=1e-7) and slopes[3] == pytest.approx(0, abs=1e-7)
    # of a student that is wrong and sure, only the divergence asks for more
    assert (slopes[2] > 0.1) == (kind == "kl")
