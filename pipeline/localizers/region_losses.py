"""PCNet's losses over mask proposals: region-aware shrinking (Eq. 5-7) and instance-aware
disambiguation (Eq. 8-9).

Legend: S stages, R texts with a map each, Q pairs of texts, P proposals of a text's image (masks in
[0, 1], all zero where an image has fewer), h x w the response map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pipeline.losses import soft_iou

Alignment = Literal["max", "avg"]
Background = Literal["others", "outside"]
Earlier = Literal["learns", "fixed"]
Scores = Literal["raw", "softmax"]
Form = Literal["distance", "overlap", "kl"]


def normalised(response: Tensor) -> Tensor:
    """Norm(ReLU(.)) of Eq. 4: raw responses (..., h, w) to [0, 1], 1 at the peak of each map.

    A map that is nowhere positive is 0.
    """
    positive = response.float().relu()
    peak = positive.amax(dim=(-2, -1), keepdim=True)
    return positive / torch.where(peak > 0, peak, torch.ones_like(peak))


def real_proposals(proposals: Tensor) -> Tensor:
    """(R, P) bool: which proposals (R, P, h, w) are masks and not padding."""
    return proposals.flatten(2).amax(dim=2) > 0


def alignment_scores(maps: Tensor, proposals: Tensor, *, alignment: Alignment) -> Tensor:
    """How well maps (R, h, w) in [0, 1] go with proposals (R, P, h, w): (R, P) in [0, 1] (Eq. 5).

    `max`: the largest value inside, as published; `avg`: the mean inside (Tables 7 and 8). Padding
    scores 0.
    """
    inside = maps[:, None] * proposals
    if alignment == "max":
        return inside.amax(dim=(-2, -1))
    area = proposals.sum(dim=(-2, -1))
    return inside.sum(dim=(-2, -1)) / torch.where(area > 0, area, torch.ones_like(area))


def best_proposal(scores: Tensor, real: Tensor) -> Tensor:
    """(R,) the proposal with the highest of the scores (R, P), never padding where one is real."""
    return scores.masked_fill(~real, -1).argmax(dim=1)


def ambiguity(
    maps: Tensor, proposals: Tensor, *, alignment: Alignment, background: Background
) -> Tensor:
    """S^amb (R,) of maps (R, h, w) in [0, 1] (Eq. 6): 0 for a map that is its own best proposal.

    Args:
        alignment: by which the best proposal m_f is chosen.
        background: m_b. `others`: all other proposals together, which cover m_f where proposals
            overlap; `outside`: that less m_f.

    Differentiable in the maps; which proposal is best is not.
    """
    real = real_proposals(proposals)
    best = best_proposal(alignment_scores(maps, proposals, alignment=alignment), real)
    place = best[:, None, None, None].expand(-1, 1, *proposals.shape[-2:])
    chosen = proposals.gather(1, place)[:, 0]
    others = proposals.scatter(1, place, 0).amax(dim=1)
    if background == "outside":
        others = (others - chosen).clamp(min=0)
    return 1 - (soft_iou(maps, chosen) - soft_iou(maps, others))


def shrinking(ambiguities: Tensor, *, earlier: Earlier) -> Tensor:
    """The hinge of Eq. 7, by text: ambiguities (S, R) of S >= 2 stages to (R,) >= 0.

    0 where no stage is more ambiguous than the one before it. `earlier`: whether the earlier stage
    of a pair `learns` as well, as published, which rewards it for being ambiguous, or is `fixed`.
    """
    before, after = ambiguities[:-1], ambiguities[1:]
    if earlier == "fixed":
        before = before.detach()
    return (after - before).relu().mean(dim=0)


def choices(scores: Tensor, real: Tensor, *, kind: Scores, temperature: float) -> Tensor:
    """The index vectors y (R, P) of scores (R, P) (Eq. 8): one-hot, with the gradient of scores.

    `kind`: the gradient is that of the `raw` scores, as published, or of a `softmax` of them over
    the real proposals at a temperature, which also reaches the best proposal: its raw score, the
    peak of a normalised map, is always 1.
    """
    hard = torch.zeros_like(scores).scatter(1, best_proposal(scores, real)[:, None], 1)
    soft = scores if kind == "raw" else shares(scores, real, temperature=temperature)
    return hard + soft - soft.detach()


def shares(scores: Tensor, real: Tensor, *, temperature: float) -> Tensor:
    """Softmax (R, P) of the scores over the real proposals; 0 for padding, and if all are that."""
    lowest = torch.finfo(scores.dtype).min
    return (scores / temperature).masked_fill(~real, lowest).softmax(dim=1) * real


def disambiguation(first: Tensor, second: Tensor, *, form: Form) -> Tensor:
    """How much two texts about different objects claim the same one (Eq. 9): (Q,), low if not.

    Args:
        first, second: (Q, P): index vectors of `choices`, or for `kl` the `shares`.
        form: `distance`: 1 - ||y_a - y_d||^2 as printed: 1 for the same choice, -1 for different
            ones; where the choice is the same its gradient is zero. `overlap`: <y_a, y_d>, the same
            up to scale and shift, but it parts texts that choose the same. `kl`: the negative
            divergence of the shares (Table 10).
    """
    if form == "distance":
        return 1 - (first - second).square().sum(dim=1)
    if form == "overlap":
        return (first * second).sum(dim=1)
    tiny = torch.finfo(first.dtype).tiny
    return -(first * (first.clamp(min=tiny).log() - second.clamp(min=tiny).log())).sum(dim=1)
