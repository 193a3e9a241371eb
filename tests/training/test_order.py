"""Which samples make up which batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.order import EpochOrder, ImageOrder

REFERENTS = st.lists(st.integers(1, 6), min_size=1, max_size=40)


def order(counts: list[int], **changes: object) -> EpochOrder:
    """Referent i, with a large and unordered id, has counts[i] expressions, interleaved."""
    ids = np.repeat([7919 * (i + 1) % 1009 for i in range(len(counts))], counts)
    ids = np.random.default_rng(0).permutation(ids)
    settings = {
        "batch_size": 8,
        "sampling": "expressions",
        "distinct_referents": True,
        "seed": 0,
    }
    made = EpochOrder(ids, **(settings | changes))  # type: ignore[arg-type]
    made.ids = ids  # type: ignore[attr-defined]
    return made


@given(REFERENTS, st.integers(1, 9), st.booleans(), st.integers(0, 3))
def test_an_epoch_shows_every_expression_once_in_even_batches(
    counts: list[int], batch_size: int, distinct: bool, epoch: int
) -> None:
    made = order(counts, batch_size=batch_size, distinct_referents=distinct)
    batches = made.epoch(epoch)
    assert len(batches) == len(made)
    assert sorted(np.concatenate(batches).tolist()) == list(range(sum(counts)))
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(REFERENTS, st.integers(1, 9), st.integers(0, 3))
def test_no_two_expressions_of_a_referent_in_a_batch(
    counts: list[int], batch_size: int, epoch: int
) -> None:
    made = order(counts, batch_size=batch_size)
    for batch in made.epoch(epoch):
        referents = made.ids[batch]  # type: ignore[attr-defined]
        if max(counts) <= len(made):
            assert len(set(referents.tolist())) == len(batch)


@given(REFERENTS, st.integers(1, 9), st.integers(0, 3))
def test_referent_sampling_shows_one_expression_of_every_referent(
    counts: list[int], batch_size: int, epoch: int
) -> None:
    made = order(counts, batch_size=batch_size, sampling="referents")
    shown = made.ids[np.concatenate(made.epoch(epoch))]  # type: ignore[attr-defined]
    assert sorted(shown.tolist()) == sorted(set(made.ids.tolist()))  # type: ignore[attr-defined]


def test_referent_sampling_draws_other_expressions_in_other_epochs() -> None:
    made = order([4] * 30, sampling="referents")
    drawn = {frozenset(np.concatenate(made.epoch(epoch)).tolist()) for epoch in range(4)}
    assert len(drawn) == 4


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def epoch(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in order([2, 3, 1] * 5, seed=seed).epoch(epoch)]

    assert epoch(1, 3) == epoch(1, 3)
    assert epoch(1, 3) != epoch(1, 4)
    assert epoch(1, 3) != epoch(2, 3)


def test_distinct_batches_mix_referents_anew() -> None:
    """Dealing must not keep the same referents together batch after batch."""
    made = order([3] * 200, batch_size=20)
    batches = [set(made.ids[batch].tolist()) for batch in made.epoch(0)]  # type: ignore[attr-defined]
    shared = [len(a & b) for i, a in enumerate(batches) for b in batches[:i]]
    assert max(shared) < 10  # of 20; neighbours in one deal would share 13


@given(REFERENTS, st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_image_sampling_shows_every_image_once_with_some_of_its_texts(
    counts: list[int], batch_size: int, texts: int, epoch: int
) -> None:
    ids = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)) * 37, counts))
    made = ImageOrder(ids, batch_size=batch_size, texts=texts, seed=0)
    batches = made.epoch(epoch)
    assert len(batches) == len(made) == -(-len(counts) // batch_size)
    seen = [image for batch in batches for image in dict.fromkeys(ids[batch].tolist())]
    assert sorted(seen) == sorted(set(ids.tolist()))
    sizes = [len(set(ids[batch].tolist())) for batch in batches]
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    for batch in batches:
        shown, number = np.unique(ids[batch], return_counts=True)
        assert (number == np.minimum([counts[i // 37] for i in shown], texts)).all()
        changes = np.count_nonzero(np.diff(ids[batch]))
        assert changes == len(shown) - 1  # side by side
    samples = np.concatenate(batches).tolist()
    assert len(set(samples)) == len(samples)


def test_image_sampling_draws_anew_each_epoch() -> None:
    made = ImageOrder(np.repeat(np.arange(9), 5), batch_size=3, texts=2, seed=0)
    epochs = [np.concatenate(made.epoch(epoch)).tolist() for epoch in range(3)]
    assert len({tuple(sorted(samples)) for samples in epochs}) == 3
    assert epochs[1] == np.concatenate(made.epoch(1)).tolist()
