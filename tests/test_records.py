"""A batch moves whole, and rows cannot change."""

from dataclasses import FrozenInstanceError, fields

import pytest
import torch

from pipeline.records import Batch, Expression


def batch(**other: object) -> Batch:
    values: dict[str, object] = {
        "images": torch.zeros(2, 3, 4, 4),
        "owner": torch.tensor([0, 1]),
        "tokens": torch.ones(2, 5, dtype=torch.int64),
        "text_ids": torch.tensor([0, 1]),
        "image_ids": torch.tensor([7, 7]),
        "ref_ids": torch.tensor([1, 2]),
        "negatives": torch.ones(2, 3, 5, dtype=torch.int64),
        "masks": torch.zeros(2, 1, 4, 4),
        "seed": 3,
        "cues": torch.ones(2, 4, 5, dtype=torch.int64),
        "proposals": torch.zeros(2, 6, 2, 2),
    }
    return Batch(**(values | other))  # type: ignore[arg-type]


def test_every_tensor_of_a_batch_moves() -> None:
    moved = batch().to("meta")
    tensors = [field.name for field in fields(Batch) if field.name != "seed"]
    assert {name: getattr(moved, name).device.type for name in tensors} == dict.fromkeys(
        tensors, "meta"
    )
    assert moved.seed == 3


def test_a_batch_without_what_it_may_lack_moves() -> None:
    lacking = dict.fromkeys(("negatives", "masks", "cues", "proposals"))
    moved = batch(**lacking).to(torch.device("meta"))
    assert all(getattr(moved, name) is None for name in lacking)


def test_moving_keeps_the_values() -> None:
    here = batch()
    moved = here.to("cpu")
    assert torch.equal(moved.tokens, here.tokens) and torch.equal(moved.ref_ids, here.ref_ids)


def test_a_row_cannot_change() -> None:
    row = Expression("toy", "train", 1, 2, 3, "the red cup")
    with pytest.raises(FrozenInstanceError):
        row.text = "the blue cup"  # type: ignore[misc]
