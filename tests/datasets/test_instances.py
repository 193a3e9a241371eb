"""COCO's ``instances.json`` and the masks in it, changed at random: read, or named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.fields import Fields
from pipeline.datasets.instances import read_instances
from pipeline.datasets.segmentations import segmentation_rle
from pipeline.safety import InputError
from pipeline.store import rle_decode, rle_encode
from tests.fuzzing import fuzz

from .conftest import annotation, square

HEIGHT, WIDTH = 6, 8
PIXELS = HEIGHT * WIDTH
GOOD: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
    "categories": [{"id": 1, "name": "cup"}],
    "annotations": [
        annotation(5, 1, [square(1, 1, 4, 4)]),
        annotation("6_1", 1, {"size": [HEIGHT, WIDTH], "counts": [10, 8, 30]}, iscrowd=1),
    ],
}
KEYS = ("id", "image_id", "category_id", "file_name", "height", "width", "name", "bbox", "counts")
WORDS = st.sampled_from(["a.jpg", "../a.jpg", "/etc/passwd", "1", "01", "-1", "", "é", "\x00"])
NUMBERS = st.one_of(
    *(st.integers(-3, 20), st.integers(), st.sampled_from([2**63, 10**20, 10**400])),
    st.floats(allow_nan=True),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from((*KEYS, "segmentation", "size")), inner, max_size=3)
    ),
    max_leaves=8,
)


@fuzz()
@given(data=st.data())
def test_any_instances_are_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One to three values anywhere are others, new, or gone."""
    content = json.loads(json.dumps(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        inner: Any = content
        while True:
            places = sorted(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not places:
                break
            place = data.draw(st.sampled_from(places))
            if isinstance(inner[place], dict | list) and data.draw(st.integers(0, 4)):
                inner = inner[place]
                continue
            if data.draw(st.integers(0, 4)):
                inner[place] = data.draw(ANYTHING)
            else:
                del inner[place]
            break
    path = tmp_path_factory.getbasetemp() / "fuzzed_instances.json"
    path.write_text(json.dumps(content))
    try:
        found = read_instances(path, overlapping_polygons="union")
    except InputError as error:
        assert "fuzzed_instances.json" in str(error)
        return
    for image in found.images.values():
        assert ".." not in Path(image.file).parts and not image.file.startswith("/")
    for item in found.annotations.values():
        image = found.images[item.image_id]
        mask = rle_decode(item.rle, image.height, image.width)
        assert mask.shape == (image.height, image.width)


@fuzz()
@given(content=st.binary(max_size=60) | st.text('[]{}",:0123456789eE.-nulltrfas ', max_size=60))
def test_any_bytes_are_no_instances(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed_bytes.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=r"fuzzed_bytes\.json"):
        read_instances(path, overlapping_polygons="union")


MASK = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
MASK[1:4, 2:7] = True
LETTERS = st.text([chr(code) for code in range(48, 112)], max_size=12)
RUNS = st.one_of(
    *(LETTERS, LETTERS.map(str.encode), st.text(max_size=6), st.binary(max_size=6)),
    st.tuples(LETTERS, st.integers(0, 9)).map(lambda t: rle_encode(MASK).decode()[: t[1]] + t[0]),
    st.lists(st.integers(-2, PIXELS + 2), max_size=6),
    st.lists(st.integers(0, PIXELS), max_size=4).map(lambda runs: [*runs, PIXELS - sum(runs)]),
    st.none() | st.floats() | st.lists(st.floats(), max_size=3),
)
SIZES = st.just([HEIGHT, WIDTH]) | st.lists(st.integers(-1, 9), max_size=3) | st.none()
RUN_LENGTHS = st.fixed_dictionaries({"size": SIZES, "counts": RUNS})
POLYGONS = st.lists(
    st.lists(st.integers(-9, 20) | st.floats(-20, 30) | st.floats() | st.none(), max_size=9),
    max_size=3,
)


@fuzz()
@given(
    value=st.one_of(RUN_LENGTHS, st.lists(RUN_LENGTHS, max_size=3), POLYGONS, ANYTHING),
    overlap=st.sampled_from(["union", "background"]),
)
def test_any_segmentation_is_a_mask_or_named(value: Any, overlap: Any) -> None:
    record = Fields({}, "file: record 3")
    try:
        rle = segmentation_rle(value, record, HEIGHT, WIDTH, overlap)
    except InputError as error:
        assert str(error).startswith("file: record 3: 'segmentation' ")
        return
    mask = rle_decode(rle, HEIGHT, WIDTH)
    if isinstance(value, dict) and isinstance(value["counts"], list):
        runs = value["counts"]
        flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        assert np.array_equal(mask, flat.reshape(WIDTH, HEIGHT).T)


@fuzz()
@given(counts=st.binary(max_size=16) | LETTERS.map(str.encode))
def test_any_compressed_counts_are_a_mask_or_refused(counts: bytes) -> None:
    """What is taken is, written again, the same mask."""
    try:
        mask = rle_decode(counts, HEIGHT, WIDTH)
    except InputError:
        return
    assert mask.shape == (HEIGHT, WIDTH)
    assert np.array_equal(rle_decode(rle_encode(mask), HEIGHT, WIDTH), mask)
