"""gRefCOCO and ReferIt through every step, on drawn files of their form: tables to report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config import Config, check, merge
from pipeline.datasets import read_expressions, read_images, read_truth
from pipeline.layout import Layout
from pipeline.steps import check as check_step
from pipeline.steps import (
    evaluate,
    refine,
    report,
    respond,
    segment,
    tables,
    train_localizer,
    train_segmentor,
)
from pipeline.steps.inputs import pictures_of
from pipeline.store import read_json, read_table, rle_area, rle_decode
from tests.datasets.drawn import draw_own
from tests.datasets.published import draw_grefs, draw_referit
from tests.training import real

WORDS = ["the left box", "both boxes", "the dog", "box on the right", "left one"]
FLOW: tuple[tuple[Callable[..., None], tuple[str, ...]], ...] = (
    *((train_localizer.run, ("weak",)), (respond.run, ("weak",)), (refine.run, ("weak",))),
    *((train_segmentor.run, ("weak", "supervised")), (segment.run, ("weak", "supervised"))),
    (evaluate.run, ("weak", "supervised")),
)


@dataclass(frozen=True)
class Done:
    """A flow that has come to its end."""

    config: Config

    @property
    def layout(self) -> Layout:
        return Layout.of(self.config)

    def figures(self, run: str, rung: str, split: str) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.layout.run_metrics(run))["rungs"][rung][split]
        return found


def flow(folder: Path, *, only: Sequence[str] = ("weak", "supervised"), **changes: Any) -> Done:
    """All steps of some runs, each as a process of its own would do it."""
    real.write_clip(folder, WORDS)
    reduced: dict[str, Any] = {
        "pseudo_labels": {"refine": ["prms", "threshold"], "splits": ["train"]},
        "evaluation": {"bootstrap": 20},
        "report": {"gallery": 2},
    }
    config = check(merge(merge(real.config(folder).model_dump(), reduced), changes))
    tables.run(config)
    for step, runs in FLOW:
        for run in (run for run in runs if run in only):
            torch.manual_seed(0)
            step(config, run=run, **({"shard": 0} if step is refine.run else {}))
    report.run(config)
    return Done(config)


@pytest.fixture(scope="module")
def grefs(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("grefs")
    draw_grefs(folder / "raw", {"train": 6, "val": 3}).write()
    dataset = {"reader": "grefs", "evaluate": ["val"], "headline": "val", "text": "raw"}
    return flow(folder, dataset=dataset, evaluation={"convention": "rela"})


@pytest.fixture(scope="module")
def referit(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("referit")
    draw_referit(folder / "raw", {"train": 6, "test": 3}).write()
    dataset = {"reader": "referit", "evaluate": ["test"], "headline": "test"}
    return flow(folder, dataset=dataset)


def test_stage_1_reads_no_sentence_that_means_nothing(grefs: Done) -> None:
    path = grefs.layout.table("expressions")
    train = read_expressions(path, split="train", text="raw")
    apart = read_expressions(path, split="train_no_target", text="raw")
    assert {row.text for row in train} == {"THE LEFT BOX", "BOTH BOXES"}
    assert {row.text for row in apart} == {"THE DOG"} and len(apart) == 6
    answered = read_table(grefs.layout.responses("weak"), kind="responses")
    assert set(answered.column("split").to_pylist()) == {"train", "val"}


def test_stage_2_is_taught_that_they_mean_nothing(
    grefs: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an empty mask each; or they are left out. The pseudo-labels know nothing of them."""
    seen: dict[str, dict[str, float]] = {}
    for choice, run in (("learn", "weak"), ("learn", "supervised"), ("ignore", "weak")):
        changed = {"segmentor": {"no_target": choice}}
        config = check(merge(grefs.config.model_dump(), changed))
        found: dict[str, float] = {}

        def look(settings: Any, network: Any, batches: Any, *, into: Any = found, **_: Any) -> None:
            for expression in batches._expressions:
                into.setdefault(expression.text, 0)
                mask = batches._samples.masks.masks([expression], (64, 64))[0]
                into[expression.text] = max(into[expression.text], float(mask.sum()))

        monkeypatch.setattr(train_segmentor, "train", look)
        train_segmentor.run(config, run=run)
        seen[f"{choice} {run}"] = found
    assert seen["learn weak"]["THE DOG"] == seen["learn supervised"]["THE DOG"] == 0
    assert set(seen["learn weak"]) == {"THE LEFT BOX", "BOTH BOXES", "THE DOG"}
    assert seen["learn supervised"]["BOTH BOXES"] > seen["learn supervised"]["THE LEFT BOX"] > 0
    assert set(seen["ignore weak"]) == {"THE LEFT BOX", "BOTH BOXES"}


def test_generalised_measures_are_what_the_masks_say(grefs: Done) -> None:
    """Computed anew from the predicted masks of the run."""
    predicted = read_table(grefs.layout.predictions("weak"), kind="predictions").to_pylist()
    rows = read_truth(grefs.layout.table("truth"), split="val")
    truth = {row.ref_id: row.area for row in rows}
    masks = {row.ref_id: rle_decode(row.rle, row.height, row.width) for row in rows}
    said_none = {
        row["sent_id"]: not rle_area(row["rle"], row["height"], row["width"]) for row in predicted
    }
    targeted = {row["sent_id"]: truth[row["ref_id"]] > 0 for row in predicted}
    none = [said_none[sent] for sent, target in targeted.items() if not target]
    some = [not said_none[sent] for sent, target in targeted.items() if target]
    assert len(none) == 3 and len(some) == 6
    figures = grefs.figures("weak", "segmentor", "val")
    assert figures["N-acc"]["value"] == pytest.approx(100 * sum(none) / 3)
    assert figures["T-acc"]["value"] == pytest.approx(100 * sum(some) / 6)
    found = [ious_of(row, masks[row["ref_id"]]) for row in predicted]
    assert figures["gIoU"]["value"] == pytest.approx(100 * sum(iou for iou, *_ in found) / 9)
    shared, union = (sum(one[k] for one in found) for k in (1, 2))
    assert figures["cIoU"]["value"] == pytest.approx(100 * shared / union)
    close = [ious_of(row, masks[row["ref_id"]])[0] for row in predicted if truth[row["ref_id"]]]
    for limit in (0.7, 0.8, 0.9):
        share = 100 * sum(iou >= limit for iou in close) / 6
        assert figures[f"Pr@{limit}"]["value"] == pytest.approx(share)
    assert figures["count"] == 9
    assert sum(group["count"] for group in figures["by_size"].values()) == 6


def ious_of(row: dict[str, Any], truth: np.ndarray) -> tuple[float, int, int]:
    """IoU (1 for nothing where nothing is meant), shared pixels and union, as ReLA counts them."""
    mask = rle_decode(row["rle"], row["height"], row["width"])
    shared, union = int((mask & truth).sum()), int((mask | truth).sum())
    return (shared / union if union else 1.0), shared, union


def test_the_report_shows_them(grefs: Done) -> None:
    page = grefs.layout.report.read_text()
    assert all(f">{name}<" in page for name in ("gIoU", "cIoU", "N-acc", "T-acc", "Pr@0.7"))
    metrics = read_json(grefs.layout.metrics)["tiny"]["weak"]["val"]["segmentor"]
    assert {"gIoU", "cIoU", "N-acc", "T-acc"} <= set(metrics)


def test_referit_goes_all_the_way(referit: Done) -> None:
    for run in ("weak", "supervised"):
        figures = referit.figures(run, "segmentor", "test")
        assert figures["count"] == 9 and figures["images"] == 3
        assert "gIoU" not in figures
    assert {"response", "pseudo_label", "segmentor"} == set(
        read_json(referit.layout.run_metrics("weak"))["rungs"]
    )
    assert "PointM" in referit.layout.report.read_text()


def test_pictures_of_referit_are_found_in_any_folder(referit: Done) -> None:
    """As SAIAPR's archive has them."""
    folder = Path(referit.config.dataset.folder) / "images"
    (folder / "00" / "images").mkdir(parents=True)
    (folder / "1.jpg").rename(folder / "00" / "images" / "1.jpg")
    tables.run(referit.config)
    first, *_ = read_images(referit.layout.table("images"), split="train")
    assert first.file == "00/images/1.jpg"
    assert pictures_of(referit.config).load(first).shape == (64, 64, 3)


def test_your_own_data_is_measured_where_there_are_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks of some held-out pictures: those are measured, the others counted; none of training."""
    splits = ["val"] * 4 + ["train"] * 6
    draw_own(tmp_path / "raw", images=10, masks=2, split=splits.__getitem__)
    dataset = {"reader": "csv", "evaluate": ["val"], "headline": "val"}
    runs = {"runs": {"supervised": None}}
    done = flow(tmp_path, only=("weak",), dataset=dataset, **runs)
    metrics = read_json(done.layout.run_metrics("weak"))
    assert metrics["unmeasured"] == {"train": 12, "val": 4}
    assert set(metrics["rungs"]) == {"response", "segmentor"}
    assert done.figures("weak", "segmentor", "val")["count"] == 4
    assert "random_object" in metrics["baselines"]
    measured = read_table(done.layout.run_expressions("weak"), kind="evaluated")
    assert set(measured.column("image_id").to_pylist()) == {1, 2}
    page = done.layout.report.read_text()
    assert "4 expressions have no mask to be measured against" in page and ">truth<" in page
    check_step.run(done.config)
    told = capsys.readouterr().out
    assert "own data       val: 4 pictures, 8 expressions of 8 referents, 4 of them with a" in told
