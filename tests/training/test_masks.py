"""Masks are found by key and come at the training size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.safety import InputError
from pipeline.store import rle_encode
from pipeline.training.masks import MaskTable
from tests.training import tiny


def box(place: int, side: int = tiny.SIDE) -> np.ndarray:
    mask = np.zeros((side, side), dtype=bool)
    mask[2 : 3 + place, 4:10] = True
    return mask


def pseudo_labels(order: np.ndarray) -> pa.Table:
    rows = [tiny.expressions()[i] for i in order]
    return pa.table(
        {
            "sent_id": [row.sent_id for row in rows],
            "rle": [rle_encode(box(row.sent_id % 25)) for row in rows],
            "height": [tiny.SIDE] * len(rows),
            "width": [tiny.SIDE] * len(rows),
        }
    )


def test_batches_do_not_depend_on_the_order_of_rows() -> None:
    count = len(tiny.expressions())
    shuffled = np.random.default_rng(0).permutation(count)
    sources = [
        tiny.batches(rows, masks=MaskTable.of_pseudo_labels(table, resize="nearest"))
        for rows, table in (
            (tiny.expressions(), pseudo_labels(np.arange(count))),
            ([tiny.expressions()[i] for i in shuffled], pseudo_labels(shuffled[::-1])),
        )
    ]
    by_key = {(e.ref_id, e.text): e for e in tiny.expressions()}
    for number in range(len(sources[0])):
        first, second = (source.batch(number, 0, 1) for source in sources)
        for name, value in vars(first).items():
            other = vars(second)[name]
            both = isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor)
            assert name == "seed" or (torch.equal(value, other) if both else value is other), name
        assert first.masks is not None and first.masks.shape == (len(first.images), 1, 32, 32)
        tokens = {key: tiny.WordEncoder().tokenize([key[1]])[0].tolist() for key in by_key}
        for row, ref_id in enumerate(first.ref_ids.tolist()):
            [key] = [
                key
                for key in by_key
                if key[0] == ref_id and tokens[key] == first.tokens[row].tolist()
            ]
            expected = box(by_key[key].sent_id % 25)
            assert (first.masks[row, 0].numpy() == expected).all()


def test_truth_is_found_by_referent() -> None:
    rows = {e.ref_id: e for e in tiny.expressions()}
    table = pa.table(
        {
            "ref_id": list(rows),
            "rle": [rle_encode(box(ref_id % 25)) for ref_id in rows],
            "height": [tiny.SIDE] * len(rows),
            "width": [tiny.SIDE] * len(rows),
        }
    )
    masks = MaskTable.of_truth(table, resize="nearest")
    for expression in tiny.expressions():
        mask = masks.masks([expression], (tiny.SIDE, tiny.SIDE))[0]
        assert (mask[0].numpy() == box(expression.ref_id % 25)).all()


def test_resize_stays_binary_or_gives_shares() -> None:
    expression = tiny.expressions()[0]
    mask = np.zeros((8, 8), dtype=bool)
    mask[:3] = True
    rows = {expression.sent_id: (rle_encode(mask), 8, 8)}
    nearest = MaskTable("sent_id", rows, resize="nearest").masks([expression], (4, 4))[0]
    area = MaskTable("sent_id", rows, resize="area").masks([expression], (4, 4))[0]
    assert set(nearest.flatten().tolist()) == {0.0, 1.0}
    assert area[0, :, 0].tolist() == [1.0, 0.5, 0.0, 0.0]


def test_an_expression_without_a_mask_is_named() -> None:
    table = pseudo_labels(np.arange(1, len(tiny.expressions())))
    masks = MaskTable.of_pseudo_labels(table, resize="nearest")
    with pytest.raises(InputError, match=r"1 expressions have none, the first is sent_id 0"):
        tiny.batches(masks=masks)


def test_two_masks_of_one_key_are_refused() -> None:
    with pytest.raises(InputError, match="sent_id repeats"):
        MaskTable.of_pseudo_labels(pseudo_labels(np.array([0, 1, 0])), resize="nearest")


def test_without_a_table_there_is_no_mask() -> None:
    assert tiny.batches().batch(0, 0, 1).masks is None
