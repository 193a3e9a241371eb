"""Losses and scores as pure functions.

Everything is computed in float32 whatever arrives (bfloat16 has too few digits for `log(1 - cos)`),
and no input that is finite gives NaN or infinity.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

PositiveRule = Literal["identity", "text", "referent"]
SameImageRule = Literal["negative", "ignore"]


def positives(
    text_ids: Tensor,
    image_ids: Tensor,
    ref_ids: Tensor,
    *,
    rule: PositiveRule,
    same_image: SameImageRule,
) -> tuple[Tensor, Tensor]:
    """Which (image i, text j) pairs of a batch of B rows are positive, and which count at all.

    `rule` decides what makes a pair positive: `identity` only the row's own text (TRIS as
    published); `text` also any equal text; `referent` also any text of the same referent of the
    same image. `same_image` decides what becomes of the other pairs whose text describes *another*
    referent of the same image, which is true of the image as a whole: `negative` (as published) or
    `ignore`.

    Args: three (B,) integer tensors; equal text ids mean equal texts.
    Returns: two (B, B) bool tensors (rows are images, columns texts): positive, counted. Every
    positive pair is counted.
    """
    own = torch.eye(len(text_ids), dtype=torch.bool, device=text_ids.device)
    image = image_ids[:, None] == image_ids[None, :]
    positive = own
    if rule in ("text", "referent"):
        positive = positive | (text_ids[:, None] == text_ids[None, :])
    if rule == "referent":
        positive = positive | (image & (ref_ids[:, None] == ref_ids[None, :]))
    if rule not in ("identity", "text", "referent"):
        raise ValueError(f"rule must be identity, text or referent, not {rule!r}")
    if same_image == "negative":
        counted = torch.ones_like(positive)
    elif same_image == "ignore":
        counted = positive | ~image
    else:
        raise ValueError(f"same_image must be negative or ignore, not {same_image!r}")
    return positive, counted


def multi_label_soft_margin(score: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Multi-label soft margin loss of a score matrix (TRIS, classification loss).

    With all pairs counted it is `torch.nn.functional.multilabel_soft_margin_loss`.

    Args: `score` (B, B) logits, rows images, columns texts; `positive` and `counted` (B, B) bool.
    Returns: the mean binary cross-entropy over the counted pairs, a scalar >= 0.
    """
    loss = functional.binary_cross_entropy_with_logits(
        score.float(), positive.float(), reduction="none"
    )
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def focal_image_score(response: Tensor, *, power: float, floor: float) -> Tensor:
    """Image-level score of each text: mean + max over pixels + focal penalty (EHIN Eq. 14; TRIS).

    The penalty `(1 - m)^power * log(floor + m)` grows when a text claims few pixels: `m` is the
    mean over pixels of a softmax over the channels [constant 1 as background; the texts].

    Args: `response` (B, N, P): image, text, pixel. Returns: (B, N) float32 logits.
    """
    response = response.float()
    background = torch.ones_like(response[:, :1])
    share = torch.softmax(torch.cat([background, response], dim=1), dim=1)[:, 1:].mean(dim=-1)
    penalty = (1 - share).clamp(min=0) ** power * torch.log(floor + share)
    return response.mean(dim=-1) + response.amax(dim=-1) + penalty


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of the last dimension, float32; 0 (with zero gradient) where a vector is all zeros."""
    first, second = (
        functional.normalize(first.float(), dim=-1),
        functional.normalize(second.float(), dim=-1),
    )
    return (first * second).sum(dim=-1)


def foreground(similarity: Tensor, *, floor: float, ceiling: float) -> Tensor:
    """`-log cos` of masked images and their own texts (TRIS; EHIN Eq. 18 with `similarity: clip`).

    Args: `similarity` cosines of any shape, clamped to [floor, ceiling] within (0, 1).
    Returns: the mean, a scalar >= 0. Beyond the clamp the gradient is zero, as in TRIS.
    """
    return -similarity.float().clamp(floor, ceiling).log().mean()


def calibration(similarity: Tensor, *, floor: float, ceiling: float) -> Tensor:
    """`-log(1 - cos)` of masked images and texts of other referents (TRIS; EHIN Eq. 19).

    Args and return as for `foreground`; a high similarity costs.
    """
    return -torch.log1p(-similarity.float().clamp(floor, ceiling)).mean()


def mask_cross_entropy(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean two-class cross-entropy of logits (B, 1, H, W) and soft masks in [0, 1]."""
    return functional.binary_cross_entropy_with_logits(logits.float(), mask.float())


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Dice loss `1 - 2 |p m| / (|p|^2 + |m|^2)` of (B, 1, H, W), in [0, 1]; mean over samples.

    The squared form of Milletari et al. (V-Net, 3DV 2016). One pixel is added above and below so
    that an empty mask answered with nothing costs nothing.
    """
    probability, mask = logits.float().sigmoid().flatten(1), mask.float().flatten(1)
    overlap = 2 * (probability * mask).sum(dim=1) + 1
    total = (probability**2).sum(dim=1) + (mask**2).sum(dim=1) + 1
    return (1 - overlap / total).mean()


def soft_iou(first: Tensor, second: Tensor) -> Tensor:
    """Soft intersection over union of maps in [0, 1]: sum of minima over sum of maxima.

    Args: (..., H, W), broadcastable. Returns: (...) in [0, 1]; 1 when both are empty (our
    convention for an empty union). Differentiable in both (PCNet Eq. 6 uses it of responses and
    proposals).
    """
    first, second = first.float(), second.float()
    intersection = torch.minimum(first, second).sum(dim=(-2, -1))
    union = torch.maximum(first, second).sum(dim=(-2, -1))
    tiny = torch.finfo(union.dtype).tiny
    return torch.where(union > 0, intersection / union.clamp(min=tiny), torch.ones_like(union))
