"""Negatives: other referents, other texts, the same image first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.safety import InputError
from pipeline.training.negatives import Negatives

# expressions as (image, referent within the image, text)
ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 6)), min_size=2, max_size=30
)


def negatives(rows: list[tuple[int, int, int]], count: int = 3, seed: int = 0) -> Negatives:
    columns = np.array(rows)
    return Negatives(
        images=columns[:, 0],
        referents=columns[:, 0] * 10 + columns[:, 1],
        texts=columns[:, 2],
        sentences=np.arange(len(rows)) + 1000,
        count=count,
        seed=seed,
    )


def allowed(rows: list[tuple[int, int, int]], sample: int) -> list[int]:
    image, place, text = rows[sample]
    return [i for i, row in enumerate(rows) if row[:2] != (image, place) and row[2] != text]


@given(ROWS, st.integers(1, 5), st.integers(0, 2))
def test_never_the_referent_nor_an_equal_text_and_the_image_first(
    rows: list[tuple[int, int, int]], count: int, epoch: int
) -> None:
    if not all(allowed(rows, sample) for sample in range(len(rows))):
        with pytest.raises(InputError, match="sent_id"):
            negatives(rows, count)
        return
    made = negatives(rows, count)
    for sample in range(len(rows)):
        drawn = made.draw(sample, epoch).tolist()
        candidates = allowed(rows, sample)
        assert len(drawn) == count
        assert set(drawn) <= set(candidates)
        near = {rows[i][2] for i in candidates if rows[i][0] == rows[sample][0]}
        chosen_near = [i for i in drawn if rows[i][0] == rows[sample][0]]
        assert {rows[i][2] for i in chosen_near} <= near
        assert len({rows[i][2] for i in chosen_near}) == min(count, len(near))
        texts = {rows[i][2] for i in candidates}
        assert len({rows[i][2] for i in drawn}) == min(count, len(texts))


def test_drawn_from_seed_epoch_and_sentence() -> None:
    rows = [(0, place, place) for place in range(9)]
    assert (negatives(rows).draw(0, 1) == negatives(rows).draw(0, 1)).all()
    draws = {
        tuple(negatives(rows, seed=seed).draw(sample, epoch).tolist())
        for seed in range(2)
        for epoch in range(2)
        for sample in range(2)
    }
    assert len(draws) > 4


def test_other_images_are_all_within_reach() -> None:
    """An image of one referent takes from anywhere, and not always the same."""
    rows = [(0, 0, 0)] + [(1 + i, 0, 1 + i) for i in range(6)]
    made = negatives(rows, count=1)
    assert {int(made.draw(0, epoch)[0]) for epoch in range(60)} == set(range(1, 7))


def test_a_data_set_of_one_referent_is_refused() -> None:
    with pytest.raises(InputError, match="set negatives to 0"):
        negatives([(0, 0, 0), (0, 0, 1)])
