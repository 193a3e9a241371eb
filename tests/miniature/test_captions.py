"""Pretraining pictures and captions: another stream, the same vocabulary, no held-out pairs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from pipeline.miniature import (
    HELD_OUT,
    WORDS,
    MiniatureSettings,
    object_example,
    scene_example,
    write_captions,
)
from pipeline.miniature.attributes import COLOURS, SHAPES
from pipeline.miniature.examples import generator
from pipeline.miniature.language import clean


def test_object_captions_name_at_least_two_attributes(settings: MiniatureSettings) -> None:
    captions = []
    for k in range(150):
        image, caption = object_example(generator(1, k), settings.scene, 64)
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        captions.append(clean(caption).split())
    assert {w for c in captions for w in c} <= set(WORDS)
    pairs = {(c, s) for words in captions for c in COLOURS for s in SHAPES if {c, s} <= set(words)}
    assert len(pairs) > 25
    assert not pairs & HELD_OUT


def test_some_objects_stand_on_nothing(settings: MiniatureSettings) -> None:
    # A masked picture is one whose border has a single colour.
    flat = 0
    for k in range(80):
        image, _ = object_example(generator(2, k), settings.scene, 64)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        flat += (border == border[0]).all()
    assert 8 <= flat <= 40


def test_scene_captions(settings: MiniatureSettings) -> None:
    captions = [scene_example(generator(3, k), settings.scene)[1] for k in range(60)]
    assert {w for c in captions for w in clean(c).split()} <= set(WORDS)
    assert sum("," in c or " and " in c for c in captions) >= 15
    assert np.mean([len(c.split()) for c in captions]) >= 6


def test_the_table(settings: MiniatureSettings, tmp_path: Path) -> None:
    for processes in (1, 2):
        write_captions(
            tmp_path / f"{processes}.parquet",
            settings=settings,
            objects=12,
            scenes=5,
            processes=processes,
        )
    one, two = (pq.read_table(tmp_path / f"{n}.parquet").to_pylist() for n in (1, 2))
    assert one == two
    assert [row["kind"] for row in one] == ["object"] * 12 + ["scene"] * 5
    sizes = [Image.open(io.BytesIO(row["image"])).size for row in one]
    assert sizes == [(64, 64)] * 12 + [(128, 128)] * 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.parquet", "2.parquet"]
