"""Which image and which text of a batch belong together, over all processes of a training."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline import losses, processes
from pipeline.records import Batch


class Pairs(NamedTuple):
    """(M, N) bool of all M images and N texts: own text, true of the image, counted at all."""

    own: Tensor
    positive: Tensor
    counted: Tensor


def pairs_of(batch: Batch, *, rule: losses.PositiveRule, same_image: losses.SameImageRule) -> Pairs:
    """The pairs of the whole batch, of which `batch` is this process's share.

    Images and texts are in the order of `processes.gathered`; see `losses.positives`.
    """
    owner = batch.owner + processes.rows_before(batch.images)
    keys = torch.stack([owner, batch.text_ids, batch.image_ids, batch.ref_ids], dim=1)
    owner, text_ids, image_ids, ref_ids = processes.gathered(keys).unbind(dim=1)
    images = int(owner[-1]) + 1 if processes.count() > 1 else len(batch.images)
    positive, counted = losses.positives(
        owner, text_ids, image_ids, ref_ids, images=images, rule=rule, same_image=same_image
    )
    return Pairs(losses.own_pairs(owner, images), positive, counted)
