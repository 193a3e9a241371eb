"""Predictions streamed from the standard tables are the predictions that were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.evaluation import (
    CONVENTIONS,
    GroundTruth,
    ImagePredictions,
    RungResult,
    evaluate_rung,
    from_masks,
    from_responses,
)
from pipeline.store import read_maps, read_table, rle_encode, write_maps, write_table

Make = Callable[..., object]
SIZE = (20, 20)
DEFAULT = CONVENTIONS["default"]


def values(figures: dict[str, object]) -> dict[str, float]:
    return {n: v["value"] for n, v in figures.items() if isinstance(v, dict) and "value" in v}


def run(truth: GroundTruth, predictions: list[ImagePredictions]) -> RungResult:
    rng = np.random.default_rng(0)
    return evaluate_rung("response", predictions, truth, DEFAULT, rng, resamples=200)


def test_masks_from_a_table(
    world: object, predictions: list[ImagePredictions], tmp_path: Path
) -> None:
    columns: dict[str, list[object]] = {
        **{name: [] for name in ("dataset", "split", "image_id", "ref_id", "sent_id")},
        **{name: [] for name in ("rle", "height", "width", "score", "peak_x", "peak_y")},
    }
    for part in predictions:
        for row in range(len(part.ref_ids)):
            cells = (
                *part.image,
                int(part.ref_ids[row]),
                int(part.sent_ids[row]),
                rle_encode(part.masks[row]),
                *SIZE,
                0.5,
                float(part.peaks[row, 0]) + 0.9,
                float(part.peaks[row, 1]),
            )
            for name, cell in zip(columns, cells, strict=True):
                columns[name].append(cell)
    path = tmp_path / "predictions.parquet"
    write_table(path, columns, kind="predictions", config_digest="0" * 16)
    table = read_table(path, kind="predictions")
    truth = world.ground_truth()
    expected = run(truth, predictions)
    assert run(truth, list(from_masks([table], truth))).figures == expected.figures
    halves = [table.slice(0, 2), table.slice(2)]
    assert run(truth, list(from_masks(halves, truth))).figures == expected.figures
    without = table.drop_columns(["peak_x", "peak_y"])
    assert "PointM" not in run(truth, list(from_masks([without], truth))).figures["val"]


def test_responses_from_a_table(world: object, tmp_path: Path) -> None:
    """A response of 4 x 4 cells; each is positive in the cell of its referent alone."""
    cells = {0: (0, 0), 1: (2, 2), 2: (1, 1), 3: (1, 1)}
    rows = sorted(world.expressions, key=lambda row: row["image_id"])
    names = ("dataset", "split", "image_id", "ref_id", "sent_id")
    maps = []
    for row in rows:
        response = np.full((4, 4), -1, np.float16)
        response[cells[row["ref_id"]]] = 3
        maps.append(response)
    path = tmp_path / "responses.parquet"
    keys = {name: [row[name] for row in rows] for name in names}
    write_maps(path, keys, maps, config_digest="0" * 16)
    truth = world.ground_truth()
    stream = list(from_responses(read_maps(path), truth, DEFAULT, input_size=SIZE))
    assert [part.image for part in stream] == [("toy", "val", 1), ("toy", "val", 2)]
    found = run(truth, stream)
    # Cell (0, 0) is 5 px wide with its centre at 2.5: positive below 7.5, largest up to 2.
    first = stream[0].masks[0]
    assert np.array_equal(first, np.pad(np.ones((7, 7), bool), ((0, 13), (0, 13))))
    assert stream[0].peaks[0].tolist() == [0, 0]
    assert values(found.figures["val"])["PointM"] == 80  # the small one is missed: (12, 12)
    assert found.records["intersection"][0] == 49
