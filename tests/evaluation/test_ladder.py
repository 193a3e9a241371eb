"""Rungs from end to end: figures by hand, streams from tables, and what must not pass."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import (
    CONVENTIONS,
    GroundTruth,
    ImagePredictions,
    RungResult,
    evaluate_baselines,
    evaluate_rung,
    ladder_figures,
    ladder_rows,
)
from pipeline.safety import InputError
from pipeline.store import read_table, write_json, write_table

Make = Callable[..., object]
SIZE = (20, 20)
DEFAULT = CONVENTIONS["default"]


def values(figures: dict[str, object]) -> dict[str, float]:
    return {n: v["value"] for n, v in figures.items() if isinstance(v, dict) and "value" in v}


def run(truth: GroundTruth, predictions: list[ImagePredictions]) -> RungResult:
    rng = np.random.default_rng(0)
    return evaluate_rung("response", predictions, truth, DEFAULT, rng, resamples=200)


def test_figures_by_hand(world: object, predictions: list[ImagePredictions]) -> None:
    figures = run(world.ground_truth(), predictions).figures["val"]
    assert values(figures) == pytest.approx(
        {
            "mIoU": 100 * (1 + 0.5 + 0 + 0.25 + 1) / 5,
            "oIoU": 100 * (100 + 50 + 0 + 25 + 100) / (100 + 100 + 8 + 100 + 100),
            "P@0.3": 60,
            "P@0.5": 60,
            "P@0.7": 40,
            "P@0.9": 40,
            "PointM": 60,
            "PointIt": 60,
            "BoxAcc": 40,  # half a box is not more than half
            "ImgAcc": 100 * (1.5 / 3 + 1.25 / 2) / 2,
            "InstAcc": 100 * (0.75 + 0 + 0.625) / 3,
        }
    )
    assert (figures["count"], figures["images"]) == (5, 2)
    assert figures["failures"] == pytest.approx(
        {"correct": 60, "distractor": 20, "background": 0, "part": 20, "spill": 0}
    )
    styles = {style: part["count"] for style, part in figures["by_style"].items()}
    assert styles == {"appearance": 2, "position": 2, "relation": 1}
    assert figures["by_style"]["position"]["mIoU"]["value"] == pytest.approx(62.5)
    assert figures["by_size"]["small"]["mIoU"]["value"] == 0
    assert figures["by_size"]["large"]["count"] == 4
    assert "medium" not in figures["by_size"]


def test_figures_are_json_and_have_intervals(
    world: object, predictions: list[ImagePredictions], tmp_path: Path
) -> None:
    result = run(world.ground_truth(), predictions)
    write_json(tmp_path / "metrics.json", ladder_figures([result]))
    read = json.loads((tmp_path / "metrics.json").read_text())["response"]["val"]
    assert read["ImgAcc"]["low"] <= read["ImgAcc"]["value"] <= read["ImgAcc"]["high"]
    # One image alone has no spread over images.
    assert read["by_style"]["relation"]["mIoU"] == {"value": 0.0, "low": None, "high": None}


def test_order_does_not_matter(world: object, predictions: list[ImagePredictions]) -> None:
    truth = world.ground_truth()
    backwards = [
        ImagePredictions(p.image, p.ref_ids[::-1], p.sent_ids[::-1], p.masks[::-1], p.peaks[::-1])
        for p in predictions[::-1]
    ]
    assert run(truth, predictions).figures == run(truth, backwards).figures


def test_a_groups_interval_is_over_its_own_images(make_world: Make, say: Make, draw: Make) -> None:
    world, thing = make_world(size=SIZE), draw(SIZE, 0, 0, 10, 10)
    texts = (["red", "blue", "pink"], ["left one"], ["right one"])
    parts = []
    for image, sentences in enumerate(texts):
        world.refer(image, image, thing, sentences)
        guess = draw(SIZE, 0, 0, 10, 10 - 4 * image)
        rows = [(image, 10 * image + number, guess) for number in range(len(sentences))]
        parts.append(say(image, rows))
    styles = run(world.ground_truth(), parts).figures["val"]["by_style"]
    # Two images speak of places, with IoU 0.6 and 0.2; one of looks.
    expected = {"value": 40, "low": 20, "high": 60}
    assert styles["position"]["mIoU"] == pytest.approx(expected)
    assert styles["appearance"]["mIoU"] == {"value": 100, "low": None, "high": None}


def test_one_expression(make_world: Make, say: Make, draw: Make) -> None:
    world = make_world(size=SIZE)
    world.refer(1, 0, draw(SIZE, 0, 0, 10, 10), ["it"])
    found = run(world.ground_truth(), [say(1, [(0, 0, draw(SIZE, 0, 0, 10, 10))], [(0, 0)])])
    assert set(values(found.figures["val"]).values()) == {100}
    assert found.figures["val"]["mIoU"]["low"] is None


def test_empty_masks_everywhere(world: object, predictions: list[ImagePredictions]) -> None:
    nothing = [
        ImagePredictions(p.image, p.ref_ids, p.sent_ids, np.zeros_like(p.masks), None)
        for p in predictions
    ]
    figures = run(world.ground_truth(), nothing).figures["val"]
    assert set(values(figures).values()) == {0}
    assert "PointM" not in figures  # no peaks, nothing to say
    assert figures["failures"]["background"] == 100


def test_no_target(make_world: Make, say: Make, draw: Make) -> None:
    world = make_world(size=SIZE)
    nothing, thing = np.zeros(SIZE, bool), draw(SIZE, 0, 0, 10, 10)
    world.refer(1, 0, nothing, ["a ghost"])
    world.refer(2, 1, nothing, ["another ghost"])
    world.refer(2, 2, thing, ["the thing"])
    rows = [say(1, [(0, 0, nothing)]), say(2, [(1, 10, thing), (2, 20, thing)])]
    found = values(run(world.ground_truth(), rows).figures["val"])
    assert found["mIoU"] == found["gIoU"] == pytest.approx(100 * 2 / 3)
    assert found["oIoU"] == found["cIoU"] == pytest.approx(50)
    assert (found["N-acc"], found["T-acc"], found["Pr@0.9"]) == (50, 100, 100)
    assert found["BoxAcc"] == 100  # of the one that has a box


def test_targeted_sets_have_no_figures_of_gref(
    world: object, predictions: list[ImagePredictions]
) -> None:
    assert not {"gIoU", "N-acc"} & set(run(world.ground_truth(), predictions).figures["val"])


def test_splits_are_apart(
    world: object, predictions: list[ImagePredictions], say: Make, draw: Make
) -> None:
    train = say(3, [(3, 30, draw(SIZE, 5, 5, 10, 10))], [(0, 0)], split="train")
    both = run(world.ground_truth(splits=("val", "train")), [train, *predictions])
    alone = run(world.ground_truth(), [train, *predictions])
    assert values(both.figures["val"]) == values(alone.figures["val"])
    assert values(both.figures["train"])["mIoU"] == 100
    assert "train" not in alone.figures


def test_a_missing_prediction_is_named(world: object, predictions: list[ImagePredictions]) -> None:
    message = "response: 2 of 5 expressions have no prediction .*ref_id 2, sent_id 20"
    with pytest.raises(InputError, match=message):
        run(world.ground_truth(), predictions[:1])


def test_a_repeated_image_counts_once_and_a_contradiction_is_refused(
    world: object, predictions: list[ImagePredictions], say: Make, draw: Make
) -> None:
    truth = world.ground_truth()
    once = run(truth, predictions)
    assert run(truth, [*predictions, predictions[0]]).figures == once.figures
    other = say(1, [(0, 0, draw(SIZE, 0, 0, 10, 9))], [(0, 0)])
    with pytest.raises(InputError, match="two different ones"):
        run(truth, [*predictions, other])


def test_records_stream_and_masks_do_not_stay(make_world: Make, say: Make, draw: Make) -> None:
    """Each image's masks are released before the next but one is asked for."""
    world = make_world(size=SIZE)
    for image in range(6):
        world.refer(image, image, draw(SIZE, 0, 0, 9, 9), ["it"])
    alive: list[weakref.ref[ImagePredictions]] = []

    class Watched(ImagePredictions):
        """Can be weakly referred to."""

    def stream() -> Iterator[ImagePredictions]:
        for image in range(6):
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 1
            part = say(image, [(image, 10 * image, draw(SIZE, 0, 0, 9, 9))])
            part = Watched(**vars(part))
            alive.append(weakref.ref(part))
            yield part

    truth = world.ground_truth()
    evaluate_rung("r", stream(), truth, DEFAULT, np.random.default_rng(0), resamples=0)
    assert len(alive) == 6


def test_rows_for_a_table(
    world: object, predictions: list[ImagePredictions], tmp_path: Path
) -> None:
    truth = world.ground_truth()
    rng = np.random.default_rng(0)
    results = [run(truth, predictions), *evaluate_baselines(truth, DEFAULT, rng, resamples=20)]
    rows = ladder_rows(results)
    path = tmp_path / "expressions.parquet"
    write_table(path, rows, kind="scores", config_digest="0" * 16)
    table = read_table(path, kind="scores").to_pandas()
    assert len(table) == 5 * len(results)
    assert not table.duplicated(["dataset", "split", "ref_id", "sent_id", "rung"]).any()
    own = table[table.rung == "response"]
    expected = values(results[0].figures["val"])
    assert 100 * own.iou.mean() == pytest.approx(expected["mIoU"])
    assert 100 * own.intersection.sum() / own.union.sum() == pytest.approx(expected["oIoU"])
    assert 100 * own.point.mean() == pytest.approx(expected["PointM"])


def test_baselines_are_rungs_on_the_same_expressions(world: object) -> None:
    rng = np.random.default_rng(0)
    results = evaluate_baselines(world.ground_truth(), DEFAULT, rng, resamples=20)
    found = {result.rung: values(result.figures["val"]) for result in results}
    assert found["random_point"] == pytest.approx(
        {"PointM": 100 * (4 * 100 + 4) / 5 / 400, "PointIt": 100 * (4 * 121 + 9) / 5 / 400}
    )
    # Two objects in image 1, one in image 2.
    assert found["random_object"] == pytest.approx(
        {"mIoU": 100 * (3 * 0.5 + 2) / 5, "PointM": 100 * (3 * 0.5 + 2) / 5}
    )
    assert found["largest_object"] == {"mIoU": 80, "PointM": 80}
    assert set(found["whole_image"]) == {"mIoU"}
    assert results[0].figures["val"]["count"] == 5
