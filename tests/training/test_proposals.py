"""Proposals at the resolution of a response map: pooled, padded, decoded once."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.safety import InputError
from pipeline.store import rle_encode
from pipeline.training import proposals
from pipeline.training.proposals import ProposalTable


def bar(columns: slice, shape: tuple[int, int] = (8, 8)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[:, columns] = True
    return mask


def table(masks: dict[int, list[np.ndarray]], *, reverse: bool = False) -> ProposalTable:
    """The proposals of these images on 2 x 4 cells."""
    rows: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "rank": rank,
            "rle": rle_encode(mask),
            "height": mask.shape[0],
            "width": mask.shape[1],
        }
        for image_id, mine in masks.items()
        for rank, mask in enumerate(mine)
    ]
    if reverse:
        rows.reverse()
    half = len(rows) // 2
    shards = [pa.Table.from_pylist(part) for part in (rows[:half], rows[half:]) if part]
    return ProposalTable(pa.concat_tables(shards), size=(2, 4))


MASKS = {
    7: [bar(slice(0, 2)), bar(slice(3, 6))],
    3: [bar(slice(0, 8)), bar(slice(7, 8)), bar(slice(2))],
}


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_holds_the_share_that_is_covered(reverse: bool) -> None:
    found = table(MASKS, reverse=reverse)
    assert found.most == 3
    first = torch.tensor([[1.0, 0, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 0]])[:, None].expand(3, 2, 4)
    torch.testing.assert_close(found.of_image(7), first, rtol=0, atol=1 / 255)
    second = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0.5], [1, 0, 0, 0]])[:, None].expand(3, 2, 4)
    torch.testing.assert_close(found.of_image(3), second, rtol=0, atol=1 / 255)


def test_an_image_without_proposals_has_padding_alone() -> None:
    found = table(MASKS)
    assert not found.of_image(5).any() and found.of_image(5).shape == (3, 2, 4)
    found.check({5, 7})
    with pytest.raises(InputError, match=r"none of the 2 training images .*pseudo_labels\.splits"):
        found.check({5, 6})


def test_images_of_other_sizes_and_shapes() -> None:
    found = table({1: [bar(slice(0, 15), (11, 30))], 2: [bar(slice(0, 1), (2, 2))]})
    for image_id in (1, 2):
        assert found.of_image(image_id)[0, 0].tolist() == pytest.approx([1, 1, 0, 0], abs=0.01)


def test_a_mask_is_decoded_once_and_what_is_handed_out_may_change() -> None:
    found = table(MASKS)
    with mock.patch.object(proposals, "rle_decode", wraps=proposals.rle_decode) as decode:
        first = found.of_image(7)
        expected = first.clone()
        first.zero_()
        assert torch.equal(found.of_image(7), expected)
        assert decode.call_count == 2
