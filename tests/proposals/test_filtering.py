"""The rules of the filter, on masks of pixels and on unions of parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.proposals import choose_distinct


def overlaps(masks: np.ndarray) -> np.ndarray:
    """IoU of every two masks, by counting."""
    found = np.zeros((len(masks), len(masks)))
    for i, a in enumerate(masks):
        for j, b in enumerate(masks):
            found[i, j] = np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1)
    return found


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(0, 40),
    minimum_area=st.integers(0, 30),
    maximum_overlap=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    keep=st.integers(1, 12),
    prefer=st.sampled_from(["score", "area"]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_kept_obeys_every_limit(
    seed: int, count: int, minimum_area: int, maximum_overlap: float, keep: int, prefer: str
) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 36)) < rng.random((count, 1))
    scores = rng.integers(0, 5, count).astype(float)
    kept = choose_distinct(
        masks,
        np.ones(36, dtype=np.int64),
        scores,
        minimum_area=minimum_area,
        maximum_overlap=maximum_overlap,
        keep=keep,
        prefer=prefer,
    )
    areas = masks.sum(axis=1)
    assert len(kept) <= keep and len(set(kept.tolist())) == len(kept)
    assert (areas[kept] >= max(minimum_area, 1)).all()
    pairs = overlaps(masks[kept])
    np.fill_diagonal(pairs, 0)
    assert (pairs <= maximum_overlap + 1e-6).all()
    order = scores if prefer == "score" else areas
    assert (np.diff(order[kept]) <= 0).all()
    # Nothing is dropped without a reason: a mask better than the last kept one overlaps a kept one.
    if prefer == "score" and maximum_overlap < 1:
        worst = scores[kept].min() if len(kept) == keep else -1
        for i in set(range(count)) - set(kept.tolist()):
            if areas[i] >= max(minimum_area, 1) and scores[i] > worst:
                assert overlaps(masks[[i, *kept]])[0, 1:].max() > maximum_overlap


def test_the_later_of_a_pair_goes() -> None:
    masks = np.zeros((3, 100), dtype=bool)
    masks[0, :50] = masks[1, :48] = masks[2, 60:] = True
    keep = choose_distinct(
        masks,
        np.ones(100, dtype=np.int64),
        np.array([0.2, 0.9, 0.5]),
        minimum_area=1,
        maximum_overlap=0.8,
        keep=40,
        prefer="score",
    )
    assert keep.tolist() == [1, 2]


def test_the_largest_are_kept_after_the_pairs_are_resolved() -> None:
    masks = np.zeros((3, 100), dtype=bool)
    masks[0, :50] = masks[1, :48] = masks[2, 60:] = True
    keep = choose_distinct(
        masks,
        np.ones(100, dtype=np.int64),
        np.array([0.2, 0.9, 0.5]),
        minimum_area=1,
        maximum_overlap=0.8,
        keep=1,
        prefer="area",
    )
    assert keep.tolist() == [1]  # 48 pixels: the mask of 50 lost to it by its score


@pytest.mark.parametrize("prefer", ["score", "area"])
def test_unions_of_parts_are_chosen_like_their_pixels(prefer: str) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 12, 400)
    sizes = np.bincount(labels, minlength=12)
    members = rng.random((60, 12)) < 0.4
    scores = rng.random(60)
    limits = {"minimum_area": 30, "maximum_overlap": 0.5, "keep": 15, "prefer": prefer}
    by_parts = choose_distinct(members, sizes, scores, **limits)
    by_pixels = choose_distinct(members[:, labels], np.ones(400, dtype=int), scores, **limits)
    assert by_parts.tolist() == by_pixels.tolist()
    assert len(by_parts) > 3
