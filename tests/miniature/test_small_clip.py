"""The small CLIP's batches, losses and probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoders.openclip import OpenClipEncoder
from pipeline.miniature import MiniatureSettings, write_captions
from pipeline.miniature.small_clip import (
    CaptionBatches,
    CaptionedPictures,
    Phase,
    read_captions,
)
from pipeline.records import Batch
from pipeline.safety import InputError
from tests.encoders.small import encoder

COLOURS = {"red": (220, 30, 30), "green": (40, 170, 60), "blue": (50, 80, 220)}


def coloured(count: int, side: int, seed: int) -> CaptionedPictures:
    """Noisy pictures of one colour each, and captions that name it."""
    rng = np.random.default_rng(seed)
    names = rng.choice(list(COLOURS), count)
    noise = rng.normal(0, 25, (count, side, side, 3))
    images = np.array([COLOURS[name] for name in names])[:, None, None] + noise
    shapes = rng.choice(["circle", "square"], count)
    captions = tuple(f"a {name} {shape}" for name, shape in zip(names, shapes, strict=True))
    return CaptionedPictures(images.clip(0, 255).astype(np.uint8), captions)


@pytest.fixture(scope="module")
def made() -> OpenClipEncoder:
    return encoder()


@pytest.fixture(scope="module")
def pictures() -> dict[str, CaptionedPictures]:
    return {"object": coloured(40, 32, 0), "scene": coloured(20, 64, 1)}


PHASES = [Phase("object", 9, 8), Phase("scene", 4, 5)]


def batches(
    made: OpenClipEncoder, pictures: dict[str, CaptionedPictures], *, group: int = 1, seed: int = 0
) -> CaptionBatches:
    return CaptionBatches(pictures, PHASES, encoder=made, group=group, seed=seed)


def same(first: Batch, second: Batch) -> bool:
    names = ("images", "tokens", "text_ids", "image_ids", "owner")
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


def test_a_captions_table_comes_back_by_kind(tmp_path: Path, settings: MiniatureSettings) -> None:
    path = tmp_path / "captions.parquet"
    write_captions(path, settings=settings, objects=6, scenes=3, processes=1)
    objects, scenes = read_captions(path, "object"), read_captions(path, "scene")
    canvas = settings.scene.canvas
    assert objects.images.shape == (6, 64, 64, 3) and objects.images.dtype == np.uint8
    assert scenes.images.shape == (3, canvas, canvas, 3)
    assert len(objects.captions) == 6 and all(objects.captions)
    kept, held_out = objects.split(2)
    assert kept.captions + held_out.captions == objects.captions
    assert np.array_equal(held_out.images, objects.images[4:])
    with pytest.raises(InputError, match="hold out"):
        objects.split(6)


def test_an_unusable_table_is_named(tmp_path: Path, settings: MiniatureSettings) -> None:
    path = tmp_path / "captions.parquet"
    with pytest.raises(InputError, match=r"captions\.parquet"):
        read_captions(path, "object")
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match=r"captions\.parquet"):
        read_captions(path, "object")
    path.unlink()
    write_captions(path, settings=settings, objects=2, scenes=0, processes=1)
    with pytest.raises(InputError, match="scene"):
        read_captions(path, "scene")


@pytest.mark.parametrize("group", [1, 4])
def test_a_batch_depends_on_seed_and_number_alone(
    made: OpenClipEncoder, pictures: dict[str, CaptionedPictures], group: int
) -> None:
    source = batches(made, pictures, group=group)
    assert len(source) == 13
    forwards = list(source.stream(start=0, stop=13, rank=0, world=1))
    again = batches(made, pictures, group=group)
    backwards = [again.batch(number, 0, 1) for number in reversed(range(13))]
    assert all(same(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    other = batches(made, pictures, group=group, seed=1)
    assert not same(forwards[0], other.batch(0, 0, 1))


def test_phases_follow_each_other_and_a_pass_shows_every_picture_once(
    made: OpenClipEncoder, pictures: dict[str, CaptionedPictures]
) -> None:
    stream = list(batches(made, pictures).stream(start=0, stop=13, rank=0, world=1))
    assert [tuple(batch.images.shape) for batch in stream] == [(8, 3, 32, 32)] * 9 + [
        (5, 3, 64, 64)
    ] * 4
    first_pass = torch.cat([batch.image_ids for batch in stream[:5]])
    second_pass = torch.cat([batch.image_ids for batch in stream[5:9]])
    assert sorted(first_pass.tolist()) == list(range(40))
    assert len(set(second_pass.tolist())) == 32
    assert first_pass[:32].tolist() != second_pass.tolist()


def test_a_batch_pairs_pictures_with_their_captions(
    made: OpenClipEncoder, pictures: dict[str, CaptionedPictures]
) -> None:
    source = batches(made, pictures)
    batch = source.batch(10, 0, 1)
    for row, index in enumerate(batch.image_ids.tolist()):
        assert (
            made.vocabulary.decode(batch.tokens[row].tolist())
            == (pictures["scene"].captions[index])
        )
        assert np.array_equal(
            batch.images[row].permute(1, 2, 0).numpy(), pictures["scene"].images[index]
        )
    prepared = source.prepare(batch).images
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (made.mean, made.std))
    torch.testing.assert_close(prepared, (batch.images / 255 - mean) / std)
    halves = [source.batch(10, rank, 2) for rank in (0, 1)]
    assert sorted(torch.cat([half.image_ids for half in halves]).tolist()) == sorted(
        batch.image_ids.tolist()
    )


def test_equal_captions_share_an_id_across_kinds(
    made: OpenClipEncoder, pictures: dict[str, CaptionedPictures]
) -> None:
    said: dict[int, set[str]] = {}
    for batch in batches(made, pictures).stream(start=0, stop=13, rank=0, world=1):
        for tokens, text_id in zip(batch.tokens.tolist(), batch.text_ids.tolist(), strict=True):
            said.setdefault(text_id, set()).add(made.vocabulary.decode(tokens))
    assert all(len(texts) == 1 for texts in said.values())
    assert len(said) == len({c for p in pictures.values() for c in p.captions})


def test_groups_share_words(made: OpenClipEncoder) -> None:
    # Six colours: a word that a third of the captions or more have tells too little to group by.
    names = ["red", "green", "blue", "pink", "white", "orange"] * 40
    captions = tuple(f"a {name} circle" for name in np.random.default_rng(2).permutation(names))
    many = {"object": CaptionedPictures(coloured(240, 8, 2).images, captions)}
    phases = [Phase("object", 30, 8)]

    def colours_a_batch(group: int) -> float:
        source = CaptionBatches(many, phases, encoder=made, group=group, seed=0)
        return float(
            np.mean(
                [
                    len({captions[i].split()[1] for i in batch.image_ids.tolist()})
                    for batch in source.stream(start=0, stop=30, rank=0, world=1)
                ]
            )
        )

    assert colours_a_batch(8) < 1.5 < 2.5 < colours_a_batch(1)


def test_too_few_pictures_for_a_batch_are_an_error(made: OpenClipEncoder) -> None:
    with pytest.raises(InputError, match="fewer than one batch"):
        CaptionBatches(
            {"object": coloured(4, 8, 0)}, [Phase("object", 1, 8)], encoder=made, group=1, seed=0
        )
