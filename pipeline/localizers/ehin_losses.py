"""The losses of EHIN, Stage-1 (Li et al., Eq. 15 and 17-19), as pure functions in float32.

Where Eq. 18-19 are read as CLIP's cosines they are `losses.foreground` and `losses.calibration`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

NegativeRule = Literal["sum_times_k", "mean"]


def contrastive_alignment(
    similarity: Tensor, *, negatives: NegativeRule, floor: float, ceiling: float
) -> Tensor:
    """`-(log S_own + K sum_k log(1 - S_k))` of masked images (EHIN Eq. 15), the mean over rows.

    Args:
        similarity: (B, 1 + K) cosines of Eq. 16, the own text first, K >= 1. Clamped to [floor,
            ceiling] within (0, 1), since a cosine may be negative; beyond, the gradient is zero.
        negatives: `sum_times_k` as Eq. 15 is printed, which weighs a negative by K, not by 1 / K;
            `mean`, under which the number of negatives does not change their weight.

    Returns: a scalar >= 0.
    """
    if negatives not in ("sum_times_k", "mean"):
        raise ValueError(f"negatives must be sum_times_k or mean, not {negatives!r}")
    similarity = similarity.float().clamp(floor, ceiling)
    own, others = similarity[:, 0], similarity[:, 1:]
    far = -torch.log1p(-others).mean(dim=1)
    if negatives == "sum_times_k":
        far = far * others.shape[1] ** 2
    return (far - own.log()).mean()


def matched(score: Tensor, positive: Tensor) -> Tensor:
    """`-log sim` of matching pairs with sim = sigmoid(score) (EHIN Eq. 18, `similarity: response`).

    Args: `score` (M, N) logits, rows images, columns texts; `positive` (M, N) bool.
    Returns: the mean over the positive pairs, a scalar >= 0; 0 if there are none.
    """
    return _mean_where(functional.softplus(-score.float()), positive)


def unmatched(score: Tensor, negative: Tensor) -> Tensor:
    """`-log(1 - sim)` of pairs that do not match (EHIN Eq. 19, `similarity: response`).

    Args and return as for `matched`; with as many negatives a text it is Eq. 19's mean of means.
    """
    return _mean_where(functional.softplus(score.float()), negative)


def _mean_where(loss: Tensor, wanted: Tensor) -> Tensor:
    return (loss * wanted).sum() / wanted.sum().clamp(min=1)
