"""Batches of images with some of their expressions: who is shown, and with whom."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.order import ImageOrder

IMAGES = st.lists(st.integers(-3, 12), min_size=1, max_size=60)


def epochs(images: list[int], count: int, *, seed: int = 0, texts: int = 2) -> list[list[int]]:
    order = ImageOrder(np.array(images), batch_size=3, texts=texts, seed=seed)
    return [np.concatenate(order.epoch(epoch)).tolist() for epoch in range(count)]


@given(IMAGES, st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_every_image_once_an_epoch_with_at_most_so_many_texts_side_by_side(
    images: list[int], batch_size: int, texts: int, epoch: int
) -> None:
    order = ImageOrder(np.array(images), batch_size=batch_size, texts=texts, seed=0)
    batches = order.epoch(epoch)
    assert len(batches) == len(order)
    shown: list[int] = []
    for batch in batches:
        mine = [images[sample] for sample in batch]
        runs = [image for place, image in enumerate(mine) if mine[place - 1 : place] != [image]]
        assert len(runs) == len(set(mine)) <= batch_size
        assert max(Counter(mine).values()) <= texts
        shown += runs
    assert sorted(shown) == sorted(set(images))
    drawn = np.concatenate(batches).tolist()
    assert len(drawn) == len(set(drawn))
    assert len(drawn) == sum(min(number, texts) for number in Counter(images).values())


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    images = [sample % 7 for sample in range(30)]
    assert epochs(images, 4) == epochs(images, 4)
    assert len({tuple(epoch) for epoch in epochs(images, 4)}) == 4
    assert epochs(images, 1) != epochs(images, 1, seed=1)


def test_an_epoch_does_not_depend_on_those_made_before() -> None:
    order = ImageOrder(np.arange(30) % 7, batch_size=3, texts=2, seed=0)
    late = np.concatenate(order.epoch(3)).tolist()
    order.epoch(0)
    assert np.concatenate(order.epoch(3)).tolist() == late


def test_all_texts_of_an_image_are_drawn_equally_often() -> None:
    shown = Counter(np.concatenate(epochs([5] * 4 + [2] * 6, 1200)).tolist())
    # of four texts two, of six texts two: each 600 and 400 times, give or take five deviations
    assert [shown[sample] for sample in range(4)] == pytest.approx([600] * 4, abs=87)
    assert [shown[sample] for sample in range(4, 10)] == pytest.approx([400] * 6, abs=82)


def test_images_meet_others_in_other_epochs() -> None:
    met = set()
    for epoch in range(40):
        order = ImageOrder(np.arange(9), batch_size=3, texts=1, seed=0)
        met |= {frozenset((a, b)) for batch in order.epoch(epoch) for a in batch for b in batch}
    assert len(met) == 9 + 36  # each with itself, and every pair


@given(IMAGES, st.integers(1, 4), st.integers(0, 3))
def test_an_image_is_shown_by_one_expression_of_each_referent(
    images: list[int], texts: int, epoch: int
) -> None:
    referents = [10 * image + sample % 2 for sample, image in enumerate(images)]
    order = ImageOrder(
        np.array(images), referents=np.array(referents), batch_size=3, texts=texts, seed=0
    )
    drawn = np.concatenate(order.epoch(epoch)).tolist()
    shown = [referents[sample] for sample in drawn]
    assert len(shown) == len(set(shown))
    numbers = Counter(referent // 10 for referent in set(referents))
    assert len(drawn) == sum(min(number, texts) for number in numbers.values())
