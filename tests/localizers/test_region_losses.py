"""PCNet's losses over proposals: by hand, with their gradients, and what padding must not do."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipeline.localizers.region_losses import (
    Alignment,
    alignment_scores,
    ambiguity,
    best_proposal,
    choices,
    disambiguation,
    normalised,
    real_proposals,
    shares,
    shrinking,
)

# three columns of a 3 x 3 map, and padding
COLUMNS = torch.stack([torch.eye(3)[i].expand(3, 3) for i in range(3)] + [torch.zeros(3, 3)])
ALIGNMENTS = pytest.mark.parametrize("alignment", ["max", "avg"])


def columns(*values: float) -> Tensor:
    """A map (1, 3, 3) with one value a column."""
    return torch.tensor(values).expand(3, 3)[None].clone()


def proposals(count: int = 1) -> Tensor:
    return COLUMNS.expand(count, -1, -1, -1)


def test_a_normalised_map_is_one_at_its_peak_and_zero_where_it_was_negative() -> None:
    raw = torch.tensor([[[-3.0, 2.0], [4.0, 1.0]], [[-1.0, -2.0], [0.0, -4.0]]])
    expected = torch.tensor([[[0.0, 0.5], [1.0, 0.25]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(normalised(raw), expected)
    raw.requires_grad_()
    normalised(raw).square().sum().backward()
    assert raw.grad is not None and raw.grad.isfinite().all()


def test_alignment_is_the_largest_or_the_mean_value_inside() -> None:
    maps = columns(0.2, 1.0, 0.0)
    maps[0, 0, 0] = 0.8
    for alignment, first in (("max", 0.8), ("avg", 0.4)):
        found = alignment_scores(maps, proposals(), alignment=alignment)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.tensor([[first, 1.0, 0.0, 0.0]]))


@ALIGNMENTS
def test_padding_never_wins(alignment: Alignment) -> None:
    padded = proposals()[:, [3, 3, 2]]  # only the last is a mask, and nothing responds there
    real = real_proposals(padded)
    assert real.tolist() == [[False, False, True]]
    for maps in (columns(1, 0.5, 0), columns(0, 0, 0)):
        scores = alignment_scores(maps, padded, alignment=alignment)
        assert best_proposal(scores, real).tolist() == [2]
        y = choices(scores, real, kind="softmax", temperature=0.1)
        torch.testing.assert_close(y, torch.tensor([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize("background", ["others", "outside"])
def test_ambiguity_by_hand(background: str) -> None:
    def found(maps: Tensor, masks: Tensor = COLUMNS[None]) -> float:
        return ambiguity(
            maps,
            masks,
            alignment="max",
            background=background,  # type: ignore[arg-type]
        ).item()

    assert found(columns(0, 1, 0)) == pytest.approx(0)  # its own best proposal
    assert found(columns(0, 0, 0)) == pytest.approx(1)  # nothing
    # best: the first column, soft IoU 3 / 4.5; background: both others, soft IoU 1.5 / 9
    assert found(columns(1, 0.5, 0)) == pytest.approx(1 - (3 / 4.5 - 1.5 / 9))
    # equally on all: it cannot be more than its best proposal less the rest
    assert found(columns(1, 1, 1)) == pytest.approx(1 - (3 / 9 - 6 / 9))
    # a proposal that covers all: as `others` it counts where the best one lies
    over = torch.stack([COLUMNS[1], torch.ones(3, 3)])[None]
    expected = {"others": 1 - (1 - 3 / 9), "outside": 0}[background]
    assert found(columns(0, 1, 0), over) == pytest.approx(expected)


def shrunk(*stages: Tensor, earlier: str = "learns") -> Tensor:
    found = [
        ambiguity(stage, proposals(len(stage)), alignment="max", background="others")
        for stage in stages
    ]
    return shrinking(torch.stack(found), earlier=earlier)  # type: ignore[arg-type]


def test_shrinking_maps_cost_nothing_and_growing_ones_do() -> None:
    wide, middle, narrow = columns(1, 0.9, 0.8), columns(1, 0.4, 0), columns(1, 0, 0)
    assert shrunk(wide, middle, narrow).item() == 0
    assert shrunk(narrow, narrow, narrow).item() == 0
    assert shrunk(narrow, middle, wide).item() > 0
    # one step back of two counts half of what it would alone
    assert shrunk(wide, narrow, middle).item() == pytest.approx(shrunk(narrow, middle).item() / 2)


def test_the_gradient_shrinks_the_later_map_and_spares_its_target() -> None:
    before, after = columns(1, 0.1, 0.0), columns(1, 0.5, 0.3).requires_grad_()
    shrunk(before, after).sum().backward()
    assert after.grad is not None
    # a step against the gradient: less outside the best proposal, more (up to its 1) inside
    assert (after.grad[..., 1:] > 0).all()
    assert (after.grad[..., 0] <= 0).all()


@pytest.mark.parametrize("earlier", ["learns", "fixed"])
def test_the_earlier_map_may_be_spared(earlier: str) -> None:
    before, after = columns(1, 0.1, 0.0).requires_grad_(), columns(1, 0.5, 0.3).requires_grad_()
    shrunk(before, after, earlier=earlier).sum().backward()
    assert after.grad is not None and after.grad.any()
    assert before.grad is not None
    if earlier == "fixed":
        assert not before.grad.any()
    else:  # it is rewarded for being ambiguous
        assert before.grad[0, 0, 1] < 0


def test_each_text_has_its_own_shrinking() -> None:
    narrow, wide = columns(1, 0, 0), columns(1, 0.5, 0.3)
    found = shrunk(torch.cat([narrow, wide]), torch.cat([wide, narrow]))
    assert found[0] > 0 and found[1] == 0


@pytest.mark.parametrize("kind", ["raw", "softmax"])
def test_a_choice_is_one_hot_with_the_gradient_of_the_scores(kind: str) -> None:
    scores = torch.tensor([[0.3, 1.0, 0.6]], requires_grad=True)
    real = torch.ones(1, 3, dtype=torch.bool)
    y = choices(scores, real, kind=kind, temperature=0.5)  # type: ignore[arg-type]
    torch.testing.assert_close(y, torch.tensor([[0.0, 1.0, 0.0]]))
    weights = torch.tensor([[1.0, 2.0, 4.0]])
    (y * weights).sum().backward()
    assert scores.grad is not None
    expected = weights
    if kind == "softmax":
        soft = (scores.detach() / 0.5).softmax(dim=1)
        expected = soft * (weights - (soft * weights).sum()) / 0.5
    torch.testing.assert_close(scores.grad, expected)


def chosen(first: list[float], second: list[float], form: str, kind: str = "raw") -> Tensor:
    real = torch.ones(1, len(first), dtype=torch.bool)
    made = [torch.tensor([values]) for values in (first, second)]
    if form == "kl":
        found = [shares(scores, real, temperature=0.2) for scores in made]
    else:
        found = [choices(s, real, kind=kind, temperature=0.2) for s in made]  # type: ignore
    return disambiguation(*found, form=form)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["distance", "overlap", "kl"])
def test_two_texts_cost_least_when_they_pick_different_proposals(form: str) -> None:
    same = chosen([1, 0.2, 0.1], [1, 0.2, 0.1], form)
    apart = chosen([1, 0.2, 0.1], [0.1, 0.2, 1], form)
    assert apart < same
    values = {"distance": (1, -1), "overlap": (1, 0), "kl": (0, apart.item())}[form]
    assert (same.item(), apart.item()) == pytest.approx(values, abs=1e-6)


def test_the_divergence_by_hand() -> None:
    first, second = torch.tensor([[0.75, 0.25, 0.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert disambiguation(first, second, form="kl").item() == pytest.approx(-expected)


def gradient(form: str, kind: str, values: tuple[list[float], list[float]]) -> Tensor:
    """Of the first text's raw response at three pixels, one a proposal."""
    raw = torch.tensor([[values[0]], [values[1]]], requires_grad=True)
    masks = torch.eye(3)[:, None].expand(2, 3, 1, 3)
    scores = alignment_scores(normalised(raw), masks, alignment="max")
    y = choices(
        scores,
        torch.ones(2, 3, dtype=torch.bool),
        kind=kind,  # type: ignore[arg-type]
        temperature=0.5,
    )
    disambiguation(y[:1], y[1:], form=form).sum().backward()  # type: ignore[arg-type]
    assert raw.grad is not None
    return raw.grad[0, 0]


def test_as_printed_it_says_nothing_to_texts_that_pick_the_same() -> None:
    """Eq. 9 has no gradient there; `overlap` of softmax scores parts them."""
    same = ([2.0, 1.0, 0.5], [4.0, 0.5, 1.0])
    for kind in ("raw", "softmax"):
        assert not gradient("distance", kind, same).any()
    # the raw score of the peak is 1 whatever the response
    assert not gradient("overlap", "raw", same).any()
    parted = gradient("overlap", "softmax", same)
    assert parted[0] > 0 and (parted[1:] < 0).all()


def test_as_printed_it_drives_picks_that_differ_further_apart() -> None:
    apart = ([2.0, 1.0, 0.5], [0.5, 4.0, 1.0])
    found = gradient("distance", "raw", apart)
    assert found[1] > 0 and found[2] == 0  # less response where the other text points


def test_all_is_finite_in_half_precision_inputs() -> None:
    raw = torch.randn(2, 4, 4, dtype=torch.bfloat16).requires_grad_()
    masks = torch.rand(2, 3, 4, 4)
    maps = normalised(raw)
    assert maps.dtype == torch.float32
    found = ambiguity(maps, masks, alignment="max", background="others")
    found.sum().backward()
    assert found.dtype == torch.float32 and raw.grad is not None and raw.grad.isfinite().all()
