"""Which proposal is taken, and when the old mask stays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.pseudo_labels import ProposalSnap, Threshold, refine_image
from pipeline.pseudo_labels.proposal_snap import soft_iou
from tests.pseudo_labels.scenes import NO_PROPOSALS, disc, state

SHAPE = (30, 40)
IMAGE = np.zeros((*SHAPE, 3), np.uint8)
LEFT, RIGHT = disc(*SHAPE, 15, 10, 7), disc(*SHAPE, 15, 30, 7)
BOTH = LEFT | RIGHT
PROPOSALS = np.stack([RIGHT, BOTH, LEFT])


def snap(target: str = "soft", minimum_gain: float = 0.0) -> ProposalSnap:
    return ProposalSnap(
        target=target,  # type: ignore[arg-type]
        minimum_gain=minimum_gain,
        threshold=0.5,
    )


@given(seed=st.integers(0, 1000), binary=st.booleans())
@settings(max_examples=30, deadline=None)
def test_soft_iou_is_minima_over_maxima(seed: int, binary: bool) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.random((3, 5, 4)).astype(np.float32)
    maps = np.round(maps) if binary else maps
    masks = rng.random((4, 5, 4)) < rng.random((4, 1, 1))
    low = np.minimum(maps[:, None], masks[None]).sum(axis=(2, 3))
    high = np.maximum(maps[:, None], masks[None]).sum(axis=(2, 3))
    expected = np.divide(low, high, out=np.zeros_like(low), where=high > 0)
    np.testing.assert_allclose(soft_iou(maps, masks), expected, atol=1e-6)


def test_each_map_takes_its_best_proposal() -> None:
    start = [state(LEFT * 0.8, RIGHT * 0.3, BOTH * 1.0)]
    found = refine_image(IMAGE, start, PROPOSALS, [snap()])[0]
    for sentence, expected in enumerate((LEFT, RIGHT, BOTH)):
        assert np.array_equal(found.label(sentence)[0], expected)
    assert found.source == ("map/snap:2", "map/snap:0", "map/snap:1")


def test_the_current_mask_may_be_the_target() -> None:
    chosen = state(RIGHT * 1.0).after("chosen", mask=LEFT[None])
    by_mask = refine_image(IMAGE, [chosen], PROPOSALS, [snap(target="mask")])[0]
    by_map = refine_image(IMAGE, [chosen], PROPOSALS, [snap(target="soft")])[0]
    assert np.array_equal(by_mask.label(0)[0], LEFT)
    assert np.array_equal(by_map.label(0)[0], RIGHT)
    fresh = refine_image(IMAGE, [state(RIGHT * 1.0)], PROPOSALS, [snap(target="mask")])[0]
    assert np.array_equal(fresh.label(0)[0], RIGHT)


def test_a_mask_stays_unless_the_proposal_gains_enough() -> None:
    evidence = LEFT * 0.9
    larger = disc(*SHAPE, 15, 10, 9)
    start = [state(evidence).after("chosen", mask=larger[None])]
    agreement = soft_iou(evidence[None].astype(np.float32), np.stack([larger, LEFT]))[0]
    gain = float(agreement[1] - agreement[0])
    taken = refine_image(IMAGE, start, PROPOSALS, [snap(minimum_gain=gain - 0.01)])[0]
    left = refine_image(IMAGE, start, PROPOSALS, [snap(minimum_gain=gain + 0.01)])[0]
    assert np.array_equal(taken.label(0)[0], LEFT)
    assert np.array_equal(left.label(0)[0], larger) and left.source == ("map/chosen/unsnapped",)


def test_a_mask_better_than_every_proposal_stays_at_no_gain() -> None:
    exact = disc(*SHAPE, 12, 20, 5)
    start = [state(exact * 1.0).after("chosen", mask=exact[None])]
    worse = disc(*SHAPE, 12, 20, 6)[None]
    found = refine_image(IMAGE, start, worse, [snap()])[0]
    assert np.array_equal(found.label(0)[0], exact)


def test_without_proposals_the_mask_or_the_high_map_stays() -> None:
    ramp = np.linspace(0, 1, 40)[None].repeat(30, axis=0)
    found = refine_image(IMAGE, [state(ramp)], NO_PROPOSALS, [snap()])[0]
    assert np.array_equal(found.label(0)[0], ramp > 0.5)
    kept = refine_image(IMAGE, [state(ramp)], NO_PROPOSALS, [Threshold(threshold=0.9), snap()])[0]
    assert np.array_equal(kept.label(0)[0], ramp > 0.9)


def test_a_proposal_that_misses_the_map_is_never_taken() -> None:
    found = refine_image(IMAGE, [state(LEFT * 1.0)], RIGHT[None], [snap(minimum_gain=-1.0)])[0]
    assert np.array_equal(found.label(0)[0], LEFT)
