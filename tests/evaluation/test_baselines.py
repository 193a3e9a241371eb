"""Baselines: by hand, and against drawing at random many times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.evaluation import CONVENTIONS, evaluate_baselines
from pipeline.evaluation.baselines import BASELINES, baseline_records

Make = Callable[..., object]
IMAGE = ("toy", "val", 1)
SIZE = (10, 20)
DEFAULT = CONVENTIONS["default"]


@pytest.fixture
def world(make_world: Make, draw: Make) -> object:
    """A referent of 4 x 2 in the middle, and two further objects; one overlaps it by a half."""
    world = make_world(size=SIZE)
    world.refer(1, 7, draw(SIZE, 8, 4, 4, 2), ["small one", "one in the middle"])
    world.annotate(1, draw(SIZE, 10, 4, 2, 4))
    world.annotate(1, draw(SIZE, 0, 0, 5, 5))
    return world


def test_by_hand(world: object) -> None:
    records = baseline_records(IMAGE, world.ground_truth().image(IMAGE), DEFAULT)
    assert set(records) == set(BASELINES)
    values = {
        name: {m: records[name][m].tolist() for m in ("point", "hit", "iou")} for name in BASELINES
    }
    nan = [np.nan] * 2
    expected = {
        "random_point": {"point": [8 / 200] * 2, "hit": [15 / 200] * 2, "iou": nan},
        "centre_point": {"point": [1, 1], "hit": [1, 1], "iou": nan},
        "random_object": {
            "point": [(1 + 0.5 + 0) / 3] * 2,
            "hit": nan,
            "iou": [(1 + 4 / 12 + 0) / 3] * 2,
        },
        "largest_object": {"point": [0, 0], "hit": nan, "iou": [0, 0]},
        "whole_image": {"point": nan, "hit": nan, "iou": [8 / 200] * 2},
    }
    for name, measures in expected.items():
        for measure, value in measures.items():
            assert values[name][measure] == pytest.approx(value, nan_ok=True), (name, measure)


def test_expected_values_are_those_of_drawing(world: object) -> None:
    rng = np.random.default_rng(0)
    truth = world.ground_truth().image(IMAGE)
    mask, objects = truth.masks[0], truth.objects
    points, inside = [], []
    for _ in range(20000):
        points.append(mask[rng.integers(10), rng.integers(20)])
        drawn = np.argwhere(objects[rng.integers(3)])
        inside.append(mask[tuple(drawn[rng.integers(len(drawn))])])
    records = baseline_records(IMAGE, truth, DEFAULT)
    assert records["random_point"]["point"][0] == pytest.approx(np.mean(points), abs=0.01)
    assert records["random_object"]["point"][0] == pytest.approx(np.mean(inside), abs=0.02)


def test_disjoint_objects_make_the_random_object_one_in_k(make_world: Make, draw: Make) -> None:
    world = make_world(size=SIZE)
    for ref in range(4):
        world.refer(1, ref, draw(SIZE, 5 * ref, 0, 3, 3), [f"number {ref}"])
    truth = world.ground_truth().image(IMAGE)
    records = baseline_records(IMAGE, truth, DEFAULT)["random_object"]
    assert records["point"] == pytest.approx([0.25] * 4)
    assert records["iou"] == pytest.approx([0.25] * 4)


def test_nothing_meant_has_no_point(make_world: Make, draw: Make) -> None:
    world = make_world(size=SIZE)
    world.refer(1, 7, np.zeros(SIZE, bool), ["a ghost"])
    world.annotate(1, draw(SIZE, 0, 0, 5, 5))
    records = baseline_records(IMAGE, world.ground_truth().image(IMAGE), DEFAULT)
    assert np.isnan([records[name]["point"] for name in BASELINES]).all()
    assert records["random_object"]["iou"].tolist() == [0]


def test_guesses_among_objects_have_no_value_without_any(make_world: Make, draw: Make) -> None:
    world = make_world(size=SIZE)
    world.refer(1, 7, draw(SIZE, 0, 0, 5, 5), ["a box"])
    ground = world.ground_truth(objects=False)
    records = baseline_records(IMAGE, ground.image(IMAGE), DEFAULT)
    for name in ("random_object", "largest_object"):
        assert np.isnan(records[name]["iou"]).all() and np.isnan(records[name]["point"]).all()
    assert records["whole_image"]["iou"].tolist() == [25 / 200]
    found = evaluate_baselines(ground, DEFAULT, np.random.default_rng(0), resamples=0)
    assert [result.rung for result in found] == ["random_point", "centre_point", "whole_image"]


def test_an_image_without_objects_has_no_guesses_among_them(make_world: Make) -> None:
    world = make_world(size=SIZE)
    world.refer(1, 7, np.zeros(SIZE, bool), ["a ghost"])
    world.annotate(2, np.ones(SIZE, bool))
    records = baseline_records(IMAGE, world.ground_truth().image(IMAGE), DEFAULT)
    assert np.isnan(records["random_object"]["iou"]).all()
    assert records["whole_image"]["iou"].tolist() == [0]
