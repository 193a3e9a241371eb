"""A mask comes back as it was; run lengths that are none are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from pipeline.safety import InputError
from pipeline.store import (
    rle_area,
    rle_decode,
    rle_encode,
)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_comes_back(mask: np.ndarray) -> None:
    counts = rle_encode(mask)
    assert np.array_equal(rle_decode(counts, *mask.shape), mask)
    assert rle_area(counts, *mask.shape) == mask.sum()
    assert counts == coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30), st.integers(1, 20), st.integers(1, 20))
def test_any_bytes_are_a_whole_mask_or_refused(counts: bytes, height: int, width: int) -> None:
    try:
        mask = rle_decode(counts, height, width)
    except InputError:
        return
    again = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert coco_mask.area(again) == mask.sum() and mask.shape == (height, width)


def test_run_lengths_of_another_size_are_refused() -> None:
    """pycocotools itself would return memory that it never wrote."""
    counts = rle_encode(np.ones((3, 3), dtype=bool))
    for size in ((5, 5), (2, 2), (3, 4)):
        with pytest.raises(InputError, match="do not fill"):
            rle_decode(counts, *size)


def test_only_bool_masks_are_encoded() -> None:
    with pytest.raises(TypeError, match="uint8"):
        rle_encode(np.full((2, 2), 255, dtype=np.uint8))
