"""Each kind of failure on a drawn case, and that there is always exactly one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.failures import KINDS, failure_kind

Draw = Callable[..., np.ndarray]
SIZE = (20, 20)


@pytest.fixture
def scene(draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """The referent (6 x 6 at 2, 2) and all objects: it and one of 8 x 8 at 11, 11."""
    truth = draw(SIZE, 2, 2, 6, 6)
    return truth, np.stack([draw(SIZE, 11, 11, 8, 8), truth])


@pytest.mark.parametrize(
    ("rectangle", "peak", "kind"),
    [
        ((2, 2, 6, 3), (3, 3), "correct"),  # IoU of exactly one half
        ((2, 2, 6, 2), (3, 3), "part"),
        ((0, 0, 20, 20), (3, 3), "spill"),
        ((5, 5, 6, 6), (6, 6), "spill"),  # as large as the referent is not a part of it
        ((11, 11, 8, 8), (12, 12), "distractor"),
        ((0, 9, 20, 1), (0, 9), "background"),
        # The peak decides, not the larger overlap: this one found its object and ran over.
        ((2, 2, 18, 18), (7, 7), "spill"),
        ((2, 2, 18, 18), (9, 9), "background"),
    ],
)
def test_kinds_with_a_peak(
    scene: tuple[np.ndarray, np.ndarray],
    draw: Draw,
    rectangle: tuple[int, ...],
    peak: tuple[int, int],
    kind: str,
) -> None:
    assert failure_kind(draw(SIZE, *rectangle), *scene, peak=peak) == kind


@pytest.mark.parametrize(
    ("rectangle", "kind"),
    [
        ((2, 2, 6, 2), "part"),
        ((1, 1, 10, 10), "spill"),
        ((11, 11, 8, 4), "distractor"),
        ((2, 2, 18, 18), "distractor"),  # covers both; more like the larger
        ((0, 9, 20, 1), "background"),
        ((0, 0, 0, 0), "background"),
    ],
)
def test_kinds_without_a_peak(
    scene: tuple[np.ndarray, np.ndarray], draw: Draw, rectangle: tuple[int, ...], kind: str
) -> None:
    assert failure_kind(draw(SIZE, *rectangle), *scene, peak=None) == kind


def test_nothing_meant(scene: tuple[np.ndarray, np.ndarray], draw: Draw) -> None:
    nothing, objects = np.zeros(SIZE, bool), scene[1]
    assert failure_kind(nothing, nothing, objects, peak=(0, 0)) == "correct"
    assert failure_kind(draw(SIZE, 11, 11, 3, 3), nothing, objects, peak=None) == "distractor"
    assert failure_kind(draw(SIZE, 0, 9, 3, 1), nothing, objects, peak=(0, 9)) == "background"


def test_an_image_without_objects(draw: Draw) -> None:
    truth, none = draw(SIZE, 2, 2, 6, 6), np.zeros((0, *SIZE), bool)
    assert failure_kind(draw(SIZE, 2, 2, 2, 2), truth, none, peak=None) == "part"
    assert failure_kind(draw(SIZE, 11, 11, 2, 2), truth, none, peak=(11, 11)) == "background"


@settings(deadline=None)
@given(
    hnp.arrays(np.bool_, (5, 4, 4)),
    st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 3))),
)
def test_every_case_has_a_kind(masks: np.ndarray, peak: tuple[int, int] | None) -> None:
    kind = failure_kind(masks[0], masks[1], masks[1:], peak=peak)
    union = np.count_nonzero(masks[0] | masks[1])
    right = union == 0 or np.count_nonzero(masks[0] & masks[1]) >= union / 2
    assert kind in KINDS
    assert (kind == "correct") == right
