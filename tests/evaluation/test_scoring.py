"""Records of expressions: by hand, by brute force, and what happens to duplicates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.evaluation import CONVENTIONS, scoring
from pipeline.evaluation.scoring import SIZE_BOUNDS, Records, gather, score_image, size_of
from pipeline.safety import InputError

Make = Callable[..., object]
IMAGE = ("toy", "val", 1)
SIZE = (20, 20)
DEFAULT = CONVENTIONS["default"]


@pytest.fixture
def world(make_world: Make, draw: Make) -> object:
    """One image: a referent of 4 x 4 with two sentences, one of 8 x 8, and an empty one."""
    world = make_world(size=SIZE)
    world.refer(1, 5, draw(SIZE, 0, 0, 4, 4), ["left one", "one above the big one"])
    world.refer(1, 3, draw(SIZE, 10, 10, 8, 8), ["the big one"])
    world.refer(1, 9, np.zeros(SIZE, bool), ["a blue one"])
    return world


def test_a_record_by_hand(world: object, say: Make, draw: Make) -> None:
    gt = world.ground_truth()
    rows = [
        (5, 50, draw(SIZE, 0, 0, 4, 2)),
        (3, 30, draw(SIZE, 0, 0, 4, 4)),
        (5, 51, draw(SIZE, 0, 0, 20, 19)),
        (9, 90, np.zeros(SIZE, bool)),
    ]
    peaks = [(4, 0), (0, 0), (3, 3), (0, 0)]
    records = score_image(say(1, rows, peaks), gt.image(IMAGE), DEFAULT)
    expected = {
        "ref_id": [5, 3, 5, 9],
        "sent_id": [50, 30, 51, 90],
        "intersection": [8, 0, 16, 0],
        "union": [16, 80, 380, 0],
        "predicted_area": [8, 16, 380, 0],
        "iou": [0.5, 0, 16 / 380, 1],
        "truth_area": [16, 64, 16, 0],
        "share": [0.04, 0.16, 0.04, 0],
        "point": [0, 0, 1, np.nan],
        "hit": [1, 0, 1, np.nan],  # x = 4 lies on the border of the box 0, 0, 4, 4
        "box": [0, 0, 0, np.nan],
        "said_none": [0, 0, 0, 1],
    }
    for name, values in expected.items():
        assert records[name].tolist() == pytest.approx(values, nan_ok=True), name
    assert records["style"].tolist() == ["position", "appearance", "relation", "appearance"]
    assert records["size"].tolist() == ["medium", "large", "medium", "none"]
    assert records["failure"].tolist() == ["correct", "distractor", "spill", "correct"]


def test_without_masks_objects_or_peaks_their_measures_are_missing(
    world: object, say: Make, draw: Make
) -> None:
    bare = world.ground_truth(objects=False).image(IMAGE)
    records = score_image(say(1, [(3, 30, draw(SIZE, 10, 10, 8, 8))]), bare, DEFAULT)
    assert records["iou"].tolist() == [1]
    assert records["box"].tolist() == [1]
    assert np.isnan([records["point"], records["hit"]]).all()
    assert records["failure"].tolist() == ["unknown"]


def test_a_methods_own_word_that_nothing_is_meant(world: object, say: Make, draw: Make) -> None:
    truth = world.ground_truth().image(IMAGE)
    part = say(1, [(3, 30, draw(SIZE, 10, 10, 8, 8))], said_none=[True])
    assert score_image(part, truth, DEFAULT)["said_none"].tolist() == [1]


def test_sizes_at_their_bounds() -> None:
    small, large = SIZE_BOUNDS
    shares = np.array([0, np.nextafter(small, 0), small, np.nextafter(large, 0), large, 1])
    assert size_of(shares).tolist() == ["small"] * 2 + ["medium"] * 2 + ["large"] * 2


def test_an_unknown_expression_is_refused(world: object, say: Make, draw: Make) -> None:
    truth = world.ground_truth().image(IMAGE)
    with pytest.raises(InputError, match="image 1 has no expression with ref_id 5 and sent_id 30"):
        score_image(say(1, [(5, 30, draw(SIZE, 0, 0, 1, 1))]), truth, DEFAULT)


def test_masks_of_another_size_are_refused(world: object, say: Make, draw: Make) -> None:
    truth = world.ground_truth().image(IMAGE)
    with pytest.raises(InputError, match=r"width \(10, 20\), the image has \(20, 20\)"):
        score_image(say(1, [(5, 50, draw((10, 20), 0, 0, 1, 1))]), truth, DEFAULT)


# -- gathering -------------------------------------------------------------------------------------


@pytest.fixture
def parts(world: object, say: Make, draw: Make) -> Callable[..., list[Records]]:
    truth = world.ground_truth().image(IMAGE)

    def make(*rows: tuple[int, int, int]) -> list[Records]:
        """A part for each (ref_id, sent_id, x of the prediction)."""
        return [
            score_image(say(1, [(ref, sent, draw(SIZE, x, 0, 4, 4))], [(x, 0)]), truth, DEFAULT)
            for ref, sent, x in rows
        ]

    return make


def test_gathering_sorts_by_key(parts: Callable[..., list[Records]]) -> None:
    one = gather(parts((5, 51, 0), (3, 30, 1), (5, 50, 2)))
    other = gather(parts((3, 30, 1), (5, 50, 2), (5, 51, 0)))
    assert one["sent_id"].tolist() == [30, 50, 51]
    for name in one:
        assert np.array_equal(one[name], other[name]), name


def test_equal_duplicates_count_once(parts: Callable[..., list[Records]]) -> None:
    once = gather(parts((5, 50, 0), (3, 30, 1)))
    twice = gather(parts((5, 50, 0), (3, 30, 1), (5, 50, 0), (5, 50, 0)))
    for name in once:
        assert np.array_equal(once[name], twice[name]), name


@pytest.mark.parametrize("x", [2, 15, 16])
def test_different_duplicates_are_an_error(parts: Callable[..., list[Records]], x: int) -> None:
    """Even where every measure is the same (two ways to miss)."""
    with pytest.raises(InputError, match="two different ones for dataset toy, split val, image_id"):
        gather(parts((5, 50, 14), (3, 30, 1), (5, 50, x)))


def test_nothing_to_gather() -> None:
    with pytest.raises(InputError, match="there are none"):
        gather([])


def test_a_mask_that_sentences_share_is_measured_once(
    world: object, say: Make, draw: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each box that it is held against, and with the same result."""
    truth = world.ground_truth().image(IMAGE)
    good, bad = draw(SIZE, 0, 0, 4, 4), draw(SIZE, 10, 10, 8, 8)
    rows = [(5, 50, good), (5, 51, good), (3, 30, good), (9, 90, good)]
    calls: list[int] = []
    measure = scoring.box_accurate

    def counted(mask: np.ndarray, box: np.ndarray) -> bool:
        calls.append(1)
        return measure(mask, box)

    monkeypatch.setattr(scoring, "box_accurate", counted)
    records = score_image(say(1, rows), truth, DEFAULT)
    assert len(calls) == 2  # of two referents; the third has no target
    assert records["box"].tolist() == pytest.approx([1, 1, 0, np.nan], nan_ok=True)
    other = score_image(say(1, [(5, 50, good), (5, 51, bad)]), truth, DEFAULT)
    assert other["box"].tolist() == [1, 0]
