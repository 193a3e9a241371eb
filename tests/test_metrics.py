"""Measures against hand-computed cases, brute force over pixels, and properties."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import metrics
from pipeline.metrics import Ratio

PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: st.tuples(hnp.arrays(np.bool_, shape), hnp.arrays(np.bool_, shape))
)
IOUS = hnp.arrays(
    np.float64,
    st.integers(1, 30),
    elements=st.one_of(st.floats(0, 1), st.sampled_from(metrics.PRECISIONS)),
)


def mask(*rows: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in row] for row in rows])


# -- one expression --------------------------------------------------------------------------------


def test_overlaps_of_a_hand_drawn_pair() -> None:
    prediction, truth = mask("##..", "##.."), mask(".##.", ".##.")
    intersection, union = metrics.overlaps(prediction[None], truth[None])
    assert (intersection.tolist(), union.tolist()) == ([2], [6])
    iou = metrics.intersection_over_union(intersection, union, empty_union="one")
    assert iou.tolist() == [2 / 6]


@settings(deadline=None)
@given(PAIRS)
def test_overlaps_agree_with_counting_pixel_by_pixel(pair: tuple[np.ndarray, np.ndarray]) -> None:
    intersection, union = metrics.overlaps(*pair)
    for row, (a, b) in enumerate(zip(*pair, strict=True)):
        cells = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
        assert intersection[row] == sum(p and t for p, t in cells)
        assert union[row] == sum(p or t for p, t in cells)


@settings(deadline=None)
@given(PAIRS, st.sampled_from(["one", "zero", "epsilon"]))
def test_iou_is_a_share_and_symmetric(
    pair: tuple[np.ndarray, np.ndarray], empty_union: metrics.EmptyUnion
) -> None:
    first = metrics.intersection_over_union(*metrics.overlaps(*pair), empty_union=empty_union)
    other = metrics.intersection_over_union(*metrics.overlaps(*pair[::-1]), empty_union=empty_union)
    assert np.array_equal(first, other)
    assert ((first >= 0) & (first <= 1)).all()


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        metrics.overlaps(np.ones((1, 2, 3), bool), np.ones((1, 3, 2), bool))


@pytest.mark.parametrize(("empty_union", "value"), [("one", 1.0), ("zero", 0.0), ("epsilon", 0.0)])
def test_an_empty_union_is_what_the_convention_says(
    empty_union: metrics.EmptyUnion, value: float
) -> None:
    assert metrics.intersection_over_union(0, 0, empty_union=empty_union) == value
    # Nothing predicted where something is meant is never right.
    assert metrics.intersection_over_union(0, 5, empty_union=empty_union) == 0


def test_epsilon_lowers_every_iou_a_little() -> None:
    assert metrics.intersection_over_union(1, 2, empty_union="epsilon") == 1 / (2 + 1e-6)


def test_an_unknown_empty_union_is_refused() -> None:
    with pytest.raises(ValueError, match="empty_union"):
        metrics.intersection_over_union(0, 0, empty_union="half")  # type: ignore[arg-type]


def test_peak_is_x_then_y_and_the_first_of_ties() -> None:
    maps = np.zeros((3, 3, 4), np.float32)
    maps[0, 2, 1] = 1
    maps[1, 1, 3] = maps[1, 2, 0] = 5
    assert metrics.peaks(maps).tolist() == [[1, 2], [3, 1], [0, 0]]


def test_point_in_mask_at_every_pixel_and_beyond() -> None:
    truth = mask(".#.", "##.")
    for y in range(-1, 3):
        for x in range(-1, 4):
            inside = 0 <= y < 2 and 0 <= x < 3 and bool(truth[y, x])
            assert metrics.points_in_masks(np.array([[x, y]]), truth[None]).tolist() == [inside]


def test_box_borders_count_as_inside() -> None:
    boxes = np.array([[2, 3, 4, 6]])
    inside = {
        (x, y)
        for x in range(8)
        for y in range(8)
        if metrics.points_in_boxes(np.array([[x, y]]), boxes)[0]
    }
    assert inside == {(x, y) for x in (2, 3, 4) for y in (3, 4, 5, 6)}


# -- averages --------------------------------------------------------------------------------------


def test_mean_and_overall_iou_differ_by_the_weight_of_large_objects() -> None:
    intersection, union = np.array([1, 90]), np.array([10, 100])
    iou = metrics.intersection_over_union(intersection, union, empty_union="one")
    assert metrics.mean(iou).percent() == pytest.approx(50)
    assert metrics.overall_iou(intersection, union).percent() == pytest.approx(100 * 91 / 110)


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(50, 90))
def test_mean_iou_is_overall_iou_where_unions_are_equal(inside: list[int], union: int) -> None:
    unions = np.full(len(inside), union)
    iou = metrics.intersection_over_union(inside, unions, empty_union="one")
    both = metrics.mean(iou).percent(), metrics.overall_iou(inside, unions).percent()
    assert both[0] == pytest.approx(both[1])


@settings(deadline=None)
@given(IOUS, st.sampled_from(metrics.PRECISIONS))
def test_precision_is_a_share_and_strictness_only_matters_at_the_threshold(
    iou: np.ndarray, threshold: float
) -> None:
    loose = metrics.precision_at(iou, threshold, strict=False).percent()
    strict = metrics.precision_at(iou, threshold, strict=True).percent()
    at = 100 * float((iou == threshold).mean())
    assert loose == pytest.approx(100 * sum(v >= threshold for v in iou) / len(iou))
    assert loose - strict == pytest.approx(at)


@settings(deadline=None)
@given(IOUS, st.randoms(use_true_random=False))
def test_averages_do_not_depend_on_order(iou: np.ndarray, random: Random) -> None:
    order = np.random.default_rng(random.randrange(1000)).permutation(len(iou))
    groups = np.arange(len(iou)) // 3
    for average in (
        lambda i: metrics.mean(iou[i]),
        lambda i: metrics.overall_iou(iou[i] * 10, groups[i] + 10),
        lambda i: metrics.precision_at(iou[i], 0.5, strict=False),
        lambda i: metrics.mean_of_means(iou[i], groups[i]),
    ):
        assert average(order).percent() == pytest.approx(average(np.arange(len(iou))).percent())


def test_precision_at_its_threshold() -> None:
    iou = [0.3, 0.5, 0.7, 0.9]
    assert metrics.precision_at(iou, 0.7, strict=False).percent() == 50
    assert metrics.precision_at(iou, 0.7, strict=True).percent() == 25


def test_mean_of_means_counts_each_group_once() -> None:
    values, groups = [1.0, 0.0, 0.0, 0.8], ["a", "a", "a", "b"]
    assert metrics.mean(values).percent() == pytest.approx(45)
    assert metrics.mean_of_means(values, groups).percent() == pytest.approx(100 * (1 / 3 + 0.8) / 2)


@settings(deadline=None)
@given(IOUS, st.integers(1, 5))
def test_mean_of_means_agrees_with_a_loop(iou: np.ndarray, count: int) -> None:
    groups = (np.arange(len(iou)) * 7) % count
    means = [
        float(np.mean([v for v, g in zip(iou, groups, strict=True) if g == group]))
        for group in set(groups.tolist())
    ]
    expected = 100 * sum(means) / len(means)
    assert metrics.mean_of_means(iou, groups).percent() == pytest.approx(expected)


def test_missing_values_are_not_counted() -> None:
    values = np.array([0.2, np.nan, 0.8])
    assert metrics.mean(values).percent() == pytest.approx(50)
    assert metrics.precision_at(values, 0.5, strict=True).percent() == pytest.approx(50)
    assert metrics.mean_of_means(values, [1, 1, 2]).percent() == pytest.approx(50)
    assert metrics.overall_iou([1, np.nan, 3], [2, np.nan, 4]).percent() == pytest.approx(400 / 6)


def test_nothing_to_average_is_not_a_number() -> None:
    assert math.isnan(metrics.mean(np.array([np.nan])).percent())
    assert math.isnan(Ratio(np.zeros(0), np.zeros(0)).percent())


# -- generalised expressions -----------------------------------------------------------------------


Row = tuple[int, int, bool, bool]  # intersection, union, targeted, said none


def relas_loop(rows: list[Row]) -> dict[str, float]:
    """ReLA's evaluation as its code tells it, expression by expression."""
    ious, inside, unions = [], 0, 0
    true_positive = false_negative = true_negative = false_positive = 0
    reached = {0.7: 0, 0.8: 0, 0.9: 0}
    for intersection, union, targeted, said_none in rows:
        if not targeted:
            if said_none:
                true_positive += 1
                ious.append(1.0)
            else:
                false_negative += 1
                ious.append(0.0)
                unions += union
            continue
        if said_none:
            false_positive += 1
            intersection = 0
        else:
            true_negative += 1
        iou = intersection / union if union else 0.0
        ious.append(iou)
        inside += intersection
        unions += union
        for threshold in reached:
            reached[threshold] += iou >= threshold
    targets = true_negative + false_positive
    found = {"gIoU": np.mean(ious), "cIoU": inside / unions if unions else math.nan}
    none = true_positive + false_negative
    found["N-acc"] = true_positive / none if none else math.nan
    found["T-acc"] = true_negative / targets if targets else math.nan
    for threshold, count in reached.items():
        found[f"Pr@{threshold}"] = count / targets if targets else math.nan
    return {name: 100 * float(value) for name, value in found.items()}


GREFS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans(), st.booleans()).map(
        # With no target nothing can overlap; an intersection is never above its union.
        lambda row: (min(row[0], row[1]) if row[2] else 0, row[1], row[2], row[3])
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(GREFS)
def test_generalised_measures_agree_with_relas_loop(
    rows: list[tuple[int, int, bool, bool]],
) -> None:
    intersection, union, targeted, said_none = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    found = metrics.generalised(intersection, union, targeted, said_none, strict=False)
    for name, expected in relas_loop(rows).items():
        assert found[name].percent() == pytest.approx(expected, nan_ok=True), name


def test_generalised_measures_of_the_four_cases() -> None:
    # right "nothing"; wrong "something" of 10 px; target found at 8/10; target denied (union 30)
    found = metrics.generalised(
        [0, 0, 8, 20],
        [0, 10, 10, 30],
        np.array([False, False, True, True]),
        np.array([True, False, False, True]),
        strict=False,
    )
    values = {name: ratio.percent() for name, ratio in found.items()}
    assert values == pytest.approx(
        {
            "gIoU": 100 * (1 + 0 + 0.8 + 0) / 4,
            "cIoU": 100 * 8 / (0 + 10 + 10 + 30),
            "N-acc": 50,
            "T-acc": 50,
            "Pr@0.7": 50,
            "Pr@0.8": 50,
            "Pr@0.9": 0,
        }
    )
