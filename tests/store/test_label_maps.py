"""Label maps come back as they were, from bytes that depend on nothing else."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from pipeline.safety import InputError
from pipeline.store import labels_decode, labels_encode


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (128, 96)])
def test_every_label_comes_back(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    data = labels_encode(labels)
    found = labels_decode(data, *size)
    assert found.dtype == np.uint8 and np.array_equal(found, labels)
    assert labels_encode(np.asfortranarray(labels)) == data


def test_patches_are_small() -> None:
    labels = np.zeros((480, 640), dtype=np.uint8)
    labels[100:300, 200:400] = 1
    assert len(labels_encode(labels)) < labels.size / 100


def test_what_is_no_label_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"uint8, not \(2, 2\) int64"):
        labels_encode(np.zeros((2, 2), dtype=np.int64))  # type: ignore[arg-type]
    data = labels_encode(np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="no PNG of 3 x 2"):
        labels_decode(data, 3, 2)
    with pytest.raises(InputError, match="no PNG of 2 x 3"):
        labels_decode(data[: len(data) // 2], 2, 3)
    colours = BytesIO()
    Image.new("RGB", (3, 2)).save(colours, format="PNG")
    with pytest.raises(InputError, match="RGB"):
        labels_decode(colours.getvalue(), 2, 3)
