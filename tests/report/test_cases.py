"""The choice of cases: seeded, one an image, best and worst by the prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.report.cases import Case, choose_cases, read_cases, with_reference
from pipeline.safety import InputError
from tests.report.conftest import Finished


def case(image: int, sentence: int, iou: float) -> Case:
    key = ("toy", "hard", image, image, sentence)
    return Case(key, "appearance", "small", "correct", {"segmentor": iou})


CASES = [case(n // 2, n, iou) for n, iou in enumerate([0.9, 0.8, 0.0, 0.7, 0.5, 0.4, 0.0, 0.1])]


def chosen(seed: int, count: int = 2) -> dict[str, list[Case]]:
    return choose_cases(CASES, rung="segmentor", count=count, rng=np.random.default_rng(seed))


def test_best_and_worst_go_by_the_prediction() -> None:
    groups = chosen(0)
    assert [c.iou["segmentor"] for c in groups["best"]] == [0.9, 0.7]
    assert [c.iou["segmentor"] for c in groups["worst"]] == [0.0, 0.0]


def test_an_image_comes_once_in_a_group() -> None:
    for group in chosen(0, count=10).values():
        images = [c.key[2] for c in group]
        assert sorted(images) == [0, 1, 2, 3]


def test_the_draw_depends_on_the_seed_alone() -> None:
    assert chosen(3) == chosen(3)
    assert len({str(chosen(seed)["random"]) for seed in range(6)}) > 1
    assert len({str(chosen(seed)["worst"]) for seed in range(6)}) > 1, "ties are broken at random"


def test_the_reference_is_put_beside_by_key() -> None:
    others = [case(c.key[2], c.key[4], 1.0) for c in CASES[1:][::-1]]
    found = with_reference(CASES, others, rung="segmentor", name="supervised")
    assert "supervised" not in found[0].iou
    assert all(c.iou["supervised"] == 1.0 for c in found[1:])
    assert [c.iou["segmentor"] for c in found] == [c.iou["segmentor"] for c in CASES]


def test_cases_come_from_the_table_of_expressions(finished: Finished) -> None:
    cases = read_cases(finished.layout.run_expressions("weak"), split="testA", rung="segmentor")
    assert [c.key for c in cases] == sorted(c.key for c in cases)
    assert all(set(c.iou) == {"response", "pseudo_label", "segmentor"} for c in cases)
    with pytest.raises(InputError, match="no masks of split 'train'"):
        read_cases(finished.layout.run_expressions("weak"), split="train", rung="segmentor")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.parquet"):
        read_cases(tmp_path / "nothing.parquet", split="hard", rung="segmentor")
