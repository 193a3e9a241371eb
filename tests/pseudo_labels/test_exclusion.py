"""Referents of an image compete for its pixels."""

import numpy as np
import pytest

from pipeline.pseudo_labels import Exclusion, refine_image
from tests.pseudo_labels.scenes import NO_PROPOSALS, disc, state

SHAPE = (30, 40)
IMAGE = np.zeros((*SHAPE, 3), np.uint8)
LEFT, RIGHT = disc(*SHAPE, 15, 10, 7), disc(*SHAPE, 15, 30, 7)


def test_a_look_alike_goes_to_the_referent_that_claims_it_more() -> None:
    torn = state(LEFT * 0.6 + RIGHT * 1.0)  # of the left one, but the right one lights up more
    sure = state(RIGHT * 1.0)
    torn, sure = refine_image(IMAGE, [torn, sure], NO_PROPOSALS, [Exclusion(weight=0.8)])
    assert torn.soft[0][LEFT].mean() > torn.soft[0][RIGHT].mean()
    assert torn.soft[0][LEFT] == pytest.approx(1.0)  # divided by its maximum
    assert torn.soft[0][RIGHT] == pytest.approx(0.2 / 0.6, rel=1e-5)
    assert sure.soft[0][RIGHT] == pytest.approx(1.0)
    assert torn.source == ("map/exclusion",)


def test_alone_nothing_changes() -> None:
    alone = state(LEFT * 0.5)
    (found,) = refine_image(IMAGE, [alone], NO_PROPOSALS, [Exclusion(weight=1.0)])
    assert found is alone


def test_what_would_vanish_stays() -> None:
    same = [state(LEFT * 0.5), state(LEFT * 1.0)]
    found = refine_image(IMAGE, same, NO_PROPOSALS, [Exclusion(weight=1.0)])
    np.testing.assert_array_equal(found[0].soft, same[0].soft)
    assert found[1].soft[0][LEFT] == pytest.approx(1.0)


def test_each_sentence_keeps_its_own_map() -> None:
    two, other = state(LEFT * 1.0, RIGHT * 1.0), state(RIGHT * 0.8)
    found = refine_image(IMAGE, [two, other], NO_PROPOSALS, [Exclusion(weight=0.5)])
    assert found[0].soft.shape == (2, *SHAPE)
    assert found[0].soft[0][LEFT] == pytest.approx(1.0)
    assert found[0].soft[1][RIGHT] == pytest.approx(1.0)  # 0.6 of itself, by its maximum
    assert found[1].soft[0][RIGHT] == pytest.approx(1.0)


def test_an_old_mask_is_taken_away() -> None:
    decided = state(LEFT * 1.0).after("chosen", mask=LEFT[None])
    found = refine_image(
        IMAGE, [decided, state(RIGHT * 1.0)], NO_PROPOSALS, [Exclusion(weight=0.8)]
    )
    assert found[0].mask is None
