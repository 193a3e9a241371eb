"""Batches: a pure function of seed and number, from rows in any order."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.records import Batch, Expression, ImageRecord
from pipeline.safety import InputError
from pipeline.store import rle_encode
from pipeline.training.batches import ExpressionBatches
from pipeline.training.flips import mirrored
from pipeline.training.masks import MaskTable
from pipeline.training.proposals import ProposalTable
from tests.training import tiny


def same(first: Batch, second: Batch) -> bool:
    return all(
        torch.equal(value, vars(second)[name]) if torch.is_tensor(value) else True
        for name, value in vars(first).items()
    ) and (first.seed == second.seed)


def everything(source: ExpressionBatches, start: int = 0, epochs: int = 2) -> list[Batch]:
    stop = epochs * len(source)
    return list(source.stream(start=start, stop=stop, rank=0, world=1))


def test_a_stream_from_the_middle_goes_on_exactly() -> None:
    settings: dict[str, Any] = {"augment": ["photometric", "flip"]}
    whole = everything(tiny.batches(**settings))
    for start in (1, len(whole) // 2, len(whole) - 1):
        rest = everything(tiny.batches(**settings), start)
        assert len(rest) == len(whole) - start
        assert all(same(a, b) for a, b in zip(whole[start:], rest, strict=True))
    assert not same(whole[0], everything(tiny.batches(seed=1, **settings))[0])


def test_worker_processes_make_the_same_batches() -> None:
    here, elsewhere = everything(tiny.batches()), everything(tiny.batches(workers=2))
    assert len(here) == len(elsewhere)
    assert all(same(a, b) for a, b in zip(here, elsewhere, strict=True))


def test_processes_share_a_batch() -> None:
    source = tiny.batches()
    whole = source.batch(3, 0, 1)
    parts = [source.batch(3, rank, 2) for rank in range(2)]
    sentences = [list(zip(b.ref_ids.tolist(), b.text_ids.tolist(), strict=True)) for b in parts]
    together = list(zip(whole.ref_ids.tolist(), whole.text_ids.tolist(), strict=True))
    assert sorted(sentences[0] + sentences[1]) == sorted(together)
    assert parts[0].seed != parts[1].seed


def test_contents_of_a_batch() -> None:
    source = tiny.batches()
    rows = {
        (e.ref_id, tuple(tiny.WordEncoder().tokenize([e.text])[0].tolist())): e
        for e in tiny.expressions()
    }
    for batch in everything(source, epochs=1):
        assert batch.images.dtype == torch.uint8 and batch.tokens.dtype == torch.int64
        assert batch.negatives is not None and batch.negatives.shape == (len(batch.images), 2, 6)
        equal_tokens = (batch.tokens[:, None] == batch.tokens).all(-1)
        assert torch.equal(batch.text_ids[:, None] == batch.text_ids, equal_tokens)
        for i, ref_id in enumerate(batch.ref_ids.tolist()):
            row = rows[ref_id, tuple(batch.tokens[i].tolist())]
            assert batch.image_ids[i] == row.image_id
            pixels = tiny.read_image(tiny.image_records()[row.image_id])
            assert (batch.images[i].permute(1, 2, 0).numpy() == pixels).all()
            assert all(n.tolist() != batch.tokens[i].tolist() for n in batch.negatives[i])


@pytest.mark.parametrize("channels_last", [True, False])
def test_prepare_normalises_for_the_encoder(channels_last: bool) -> None:
    source = tiny.batches(channels_last=channels_last)
    raw = source.batch(0, 0, 1)
    batch = source.prepare(raw)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (tiny.WordEncoder.mean, tiny.WordEncoder.std)
    )
    assert batch.images.dtype == torch.float32
    torch.testing.assert_close(batch.images, (raw.images / 255 - mean) / std)
    assert batch.images.is_contiguous() is not channels_last
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.images.is_contiguous(memory_format=layout)


def test_images_come_at_the_training_size() -> None:
    records = tiny.image_records(side=40)
    source = ExpressionBatches(tiny.expressions(), records, **settings(size=(20, 24)))
    assert source.batch(0, 0, 1).images.shape[1:] == (3, 20, 24)


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "read_image": tiny.read_image,
        "encoder": tiny.WordEncoder(),
        "size": (tiny.SIDE, tiny.SIDE),
        "batch_size": 5,
        "sampling": "expressions",
        "texts_per_image": 3,
        "distinct_referents": True,
        "negatives": 0,
        "masks": None,
        "augment": [],
        "photometric_strength": 0.5,
        "workers": 0,
        "channels_last": True,
        "seed": 0,
    } | changes


def test_expressions_of_an_image_share_its_picture() -> None:
    mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
    mask[:3] = True
    rows = tiny.expressions()
    masks = {e.sent_id: (rle_encode(np.roll(mask, e.sent_id)), *mask.shape) for e in rows}
    source = tiny.batches(
        sampling="images", batch_size=3, masks=MaskTable("sent_id", masks, resize="nearest")
    )
    images = []
    for batch in everything(source, epochs=1):
        count = len(batch.tokens)
        assert batch.masks is not None and batch.negatives is not None
        assert len(batch.owner) == len(batch.masks) == len(batch.negatives) == count
        assert batch.owner.tolist() == sorted(batch.owner.tolist())
        for picture in range(len(batch.images)):
            mine = batch.owner == picture
            [image_id] = set(batch.image_ids[mine].tolist())
            assert 1 <= mine.sum() <= 3
            pixels = tiny.read_image(tiny.image_records()[image_id])
            assert (batch.images[picture].permute(1, 2, 0).numpy() == pixels).all()
            images.append(image_id)
            for i in np.flatnonzero(mine.numpy()):
                [row] = [
                    e
                    for e in rows
                    if e.ref_id == batch.ref_ids[i]
                    and torch.equal(tiny.WordEncoder().tokenize([e.text])[0], batch.tokens[i])
                ]
                expected, *_ = masks[row.sent_id]
                assert rle_encode(batch.masks[i, 0].bool().numpy()) == expected
    assert sorted(images) == list(range(8))


def marked(record: ImageRecord) -> np.ndarray:
    """Bright on the left half."""
    image = np.zeros((record.height, record.width, 3), dtype=np.uint8)
    image[:, : record.width // 2] = 200
    image.flags.writeable = False  # as a cache hands them out
    return image


def test_flip_turns_picture_mask_sentence_and_negatives_together() -> None:
    rows = tiny.expressions()
    rows = [replace(e, text=e.text + " on the left") for e in rows if "thing" in e.text]
    rows[0] = replace(rows[0], text="the second grey thing on the left of 2")  # not to be mirrored
    mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
    mask[:, : tiny.SIDE // 2] = True
    masks = MaskTable(
        "sent_id", {e.sent_id: (rle_encode(mask), *mask.shape) for e in rows}, resize="nearest"
    )
    source = ExpressionBatches(
        rows,
        tiny.image_records(),
        **settings(read_image=marked, masks=masks, augment=["flip"], negatives=2),
    )
    left, right = (
        tiny.WordEncoder().tokenize([f"a b c {side}"])[0, 3].item() for side in ("left", "right")
    )
    forbidden = tiny.WordEncoder().tokenize([rows[0].text])[0]
    flips = []
    for batch in everything(source, epochs=4):
        assert batch.masks is not None and batch.negatives is not None
        for i, tokens in enumerate(batch.tokens):
            flipped = bool(batch.images[i, 0, 0, -1])
            texts = torch.cat([tokens[None], batch.negatives[i]])
            assert bool(batch.masks[i, 0, 0, -1]) is flipped
            if flipped:
                assert (texts == right).any(1).all() and not (texts == left).any()
                assert not (texts == forbidden).all(1).any()
            else:
                assert not (texts == right).any()
            flips.append(flipped)
    assert 0.15 < np.mean(flips) < 0.6
    assert mirrored(rows[0].text) is None


def test_photometric_changes_pixels_and_nothing_else() -> None:
    plain = ExpressionBatches(tiny.expressions(), tiny.image_records(), **settings())
    jitter = ExpressionBatches(
        tiny.expressions(), tiny.image_records(), **settings(augment=["photometric"])
    )
    state = torch.get_rng_state()
    first, second = plain.batch(0, 0, 1), jitter.batch(0, 0, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first.images, second.images)
    assert torch.equal(first.tokens, second.tokens)
    assert not torch.equal(second.images, jitter.batch(len(jitter), 0, 1).images)


def test_what_does_not_fit_is_named() -> None:
    rows = tiny.expressions()
    with pytest.raises(InputError, match="no expressions"):
        ExpressionBatches([], tiny.image_records(), **settings())
    with pytest.raises(InputError, match=r"image_id 7"):
        ExpressionBatches(rows, tiny.image_records(7), **settings())
    with pytest.raises(InputError, match="one, two"):
        mixed = [replace(rows[0], dataset="two"), replace(rows[1], dataset="one")]
        ExpressionBatches(mixed, tiny.image_records(), **settings())
    with pytest.raises(InputError, match="sent_id 0 twice"):
        ExpressionBatches([rows[0], rows[0]], tiny.image_records(), **settings())
    with pytest.raises(InputError, match="fewer samples than the 9"):
        ExpressionBatches(rows, tiny.image_records(), **settings()).batch(0, 8, 9)


@pytest.mark.parametrize("count", [1, 19])
def test_small_data_sets(count: int) -> None:
    rows = tiny.expressions(12)[:count]
    source = ExpressionBatches(rows, tiny.image_records(12), **settings(batch_size=6))
    shown = [b.image_ids.tolist() for b in everything(source, epochs=1)]
    assert sum(map(len, shown)) == count
    assert all(len(ids) > 1 for ids in shown) or count == 1


def test_one_process_feeds_a_small_network() -> None:
    """More than 3,000 cached images a second on an idle core; a third of it on a busy one."""
    records = tiny.image_records(side=128)
    images = {record.image_id: tiny.read_image(record) for record in records}
    source = ExpressionBatches(
        tiny.expressions(),
        records,
        **settings(
            read_image=lambda record: images[record.image_id],
            size=(128, 128),
            batch_size=30,
            negatives=3,
        ),
    )
    rates = []
    for _ in range(5):
        start, count = time.process_time(), 0
        for batch in source.stream(start=0, stop=8 * len(source), rank=0, world=1):
            count += len(source.prepare(batch).images)
        rates.append(count / (time.process_time() - start))
    assert max(rates) > 1000


def cues(rows: list[Expression]) -> dict[int, list[str]]:
    """The last word of each expression, and then all words."""
    return {e.sent_id: [e.text.split()[-1], e.text] for e in rows}


def proposal_table() -> ProposalTable:
    """Of every image but the first one proposal, its left half, on 2 x 4 cells."""
    mask = np.zeros((tiny.SIDE, tiny.SIDE), dtype=bool)
    mask[:, : tiny.SIDE // 2] = True
    columns = {
        "image_id": list(range(1, 8)),
        "rank": [0] * 7,
        "rle": [rle_encode(mask)] * 7,
        "height": [tiny.SIDE] * 7,
        "width": [tiny.SIDE] * 7,
    }
    return ProposalTable(pa.table(columns), size=(2, 4))


@pytest.mark.parametrize("sampling", ["expressions", "images"])
def test_cues_and_proposals_come_with_their_texts_and_pictures(sampling: str) -> None:
    rows = tiny.expressions()
    tokens = {e.sent_id: tiny.WordEncoder().tokenize([e.text])[0] for e in rows}
    said = {e.sent_id: tiny.WordEncoder().tokenize(cues(rows)[e.sent_id]) for e in rows}
    source = tiny.batches(sampling=sampling, cues=cues(rows), proposals=proposal_table())
    plain = tiny.batches(sampling=sampling)
    for batch, bare in zip(everything(source, epochs=1), everything(plain, epochs=1), strict=True):
        assert batch.cues is not None and batch.proposals is not None
        assert batch.cues.shape == (len(batch.tokens), 2, 6)
        assert batch.proposals.shape == (len(batch.images), 1, 2, 4)
        for i, ref_id in enumerate(batch.ref_ids.tolist()):
            [row] = [
                e
                for e in rows
                if e.ref_id == ref_id and torch.equal(tokens[e.sent_id], batch.tokens[i])
            ]
            assert torch.equal(batch.cues[i], said[row.sent_id])
            mine = batch.proposals[batch.owner[i], 0]
            expected = [0.0] * 4 if row.image_id == 0 else [1.0, 1.0, 0.0, 0.0]
            assert mine.tolist() == [expected] * 2
        # nothing else is another batch for it
        assert bare.cues is None and bare.proposals is None
        for name in ("images", "tokens", "owner", "image_ids", "ref_ids", "negatives"):
            assert torch.equal(getattr(batch, name), getattr(bare, name))


def test_a_flip_turns_cues_and_proposals_as_well() -> None:
    rows = [replace(e, text=e.text + " on the left") for e in tiny.expressions() if e.image_id]
    mine = {e.sent_id: ["thing on the left", e.text] for e in rows}
    mine[rows[0].sent_id][0] = "2"  # a cue that cannot be mirrored
    forbidden = tiny.WordEncoder().tokenize(["2"])[0, 0].item()
    source = ExpressionBatches(
        rows,
        tiny.image_records(),
        **settings(read_image=marked, augment=["flip"], cues=mine, proposals=proposal_table()),
    )
    left, right = (
        tiny.WordEncoder().tokenize([f"a b c {side}"])[0, 3].item() for side in ("left", "right")
    )
    flips = []
    for batch in everything(source, epochs=4):
        assert batch.cues is not None and batch.proposals is not None
        for i, proposal in enumerate(batch.proposals[:, 0]):
            flipped = bool(batch.images[i, 0, 0, -1])
            assert proposal[0].tolist() == ([0, 0, 1, 1] if flipped else [1, 1, 0, 0])
            said = batch.cues[i, 0].tolist()
            if forbidden in said:
                assert not flipped
            else:
                assert (right in said) is flipped and (left in said) is not flipped
            flips.append(flipped)
    assert 0.2 < np.mean(flips) < 0.8


def test_cues_that_lack_are_named() -> None:
    rows = tiny.expressions()
    few = cues(rows)
    del few[rows[3].sent_id]
    with pytest.raises(InputError, match=f"cues: 1 expressions have none.* {rows[3].sent_id}"):
        tiny.batches(cues=few)
    with pytest.raises(InputError, match="different numbers"):
        tiny.batches(cues=cues(rows) | {rows[3].sent_id: ["one"]})
