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
Consistency = Literal["mse", "kl"]


def positives(
    owner: Tensor,
    text_ids: Tensor,
    image_ids: Tensor,
    ref_ids: Tensor,
    *,
    images: int,
    rule: PositiveRule,
    same_image: SameImageRule,
) -> tuple[Tensor, Tensor]:
    """Which (image i, text j) pairs of a batch are positive, and which count at all.

    `rule` decides what makes a pair positive: `identity` only a row's own image (TRIS as
    published); `text` also a text equal to one of the image's; `referent` also any text of the
    same referent, where an image is in the batch twice. `same_image` decides what becomes of the
    other pairs whose text describes *another* referent of the same image, which is true of the
    image as a whole: `negative` (as published) or `ignore`.

    Args: four (N,) integer tensors, `owner` in [0, images); equal text ids mean equal texts.
    Returns: two (M, N) bool tensors (M = images; columns are texts): positive, counted. Every
    positive pair is counted.
    """
    if rule not in ("identity", "text", "referent"):
        raise ValueError(f"rule must be identity, text or referent, not {rule!r}")
    if same_image not in ("negative", "ignore"):
        raise ValueError(f"same_image must be negative or ignore, not {same_image!r}")
    own = own_pairs(owner, images)

    def any_of_mine(equal: Tensor) -> Tensor:
        return (own.float() @ equal.float()) > 0

    same = image_ids[:, None] == image_ids[None, :]
    positive = own
    if rule in ("text", "referent"):
        positive = positive | any_of_mine(text_ids[:, None] == text_ids[None, :])
    if rule == "referent":
        positive = positive | any_of_mine(same & (ref_ids[:, None] == ref_ids[None, :]))
    if same_image == "negative":
        return positive, torch.ones_like(positive)
    return positive, positive | ~any_of_mine(same)


def own_pairs(owner: Tensor, images: int) -> Tensor:
    """(M, N) bool: which image each text belongs to."""
    return owner[None, :] == torch.arange(images, device=owner.device)[:, None]


def multi_label_soft_margin(score: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Multi-label soft margin loss of a score matrix (TRIS, classification loss).

    With all pairs counted it is `torch.nn.functional.multilabel_soft_margin_loss`.

    Args: `score` (M, N) logits, rows images, columns texts; `positive` and `counted` (M, N) bool.
    Returns: the mean binary cross-entropy over the counted pairs, a scalar >= 0.
    """
    loss = functional.binary_cross_entropy_with_logits(
        score.float(), positive.float(), reduction="none"
    )
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def contrast(score: Tensor, own: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """InfoNCE of the score matrix in both directions (van den Oord et al., 2018; our option).

    Each text picks its image among the images it is not true of, and each (image, own text) pair
    is set against the texts that are not the image's. Unlike the soft margin, whose gradient
    spreads over all pairs, it dwells on the pairs that are hard to tell apart.

    Args: `score` (M, N) logits; `own`, `positive`, `counted` (M, N) bool, own within positive.
    Returns: the mean over own pairs of both directions, a scalar >= 0.
    """
    score = score.float()
    nothing = torch.finfo(score.dtype).min
    rivals = score.masked_fill(positive | ~counted, nothing)
    by_text = functional.softplus(rivals.logsumexp(dim=0, keepdim=True) - score)
    by_image = functional.softplus(rivals.logsumexp(dim=1, keepdim=True) - score)
    return ((by_text + by_image) * own).sum() / (2 * own.sum().clamp(min=1))


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


def consistency(logits: Tensor, teacher: Tensor, *, kind: Consistency) -> Tensor:
    """How far masks (B, 1, H, W) are from a teacher's, both as logits; mean over all pixels.

    `mse`: squared difference of the probabilities (Tarvainen and Valpola, NeurIPS 2017). `kl`:
    divergence of the teacher's two-class distribution from the student's. Both are >= 0, and 0
    where they agree. The teacher gets no gradient.
    """
    logits, teacher = logits.float(), teacher.detach().float()
    target = teacher.sigmoid()
    if kind == "mse":
        return functional.mse_loss(logits.sigmoid(), target)
    logsigmoid = functional.logsigmoid
    yes, no = logsigmoid(teacher) - logsigmoid(logits), logsigmoid(-teacher) - logsigmoid(-logits)
    return (target * yes + (1 - target) * no).mean()


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
