"""An ablation of EHIN through the workflow, at a reduced size: one command makes its table."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.store import read_json
from pipeline.workflow.dvc import planned_jobs
from tests.conftest import Trained
from tests.repository import Copy

ABLATION = "experiments/ablations/ehin_components.yaml"
OTHER = "experiments/ablations/ehin_residual.yaml"

# Two seeds of two variants, and the published figures of these.
REDUCED: dict[str, Any] = {
    "localizer": {"training": {"epochs": 1, "negatives": 2}},
    "report": {
        "published": [
            {
                "table": "EHIN Table 6",
                "split": "testA",
                "rung": "response",
                "figures": {"full": {"PointM": 55.63}, "no_eclm": {"PointM": 45.83}},
            }
        ]
    },
    "runs": dict.fromkeys(
        [f"{name}-{seed}" for name in ("no_hipm", "neither") for seed in range(3)]
        + ["full-2", "no_eclm-2"]
    ),
}


@pytest.fixture(scope="module")
def ablated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the finished reduced run in which the ablation has run too."""
    root = tmp_path_factory.mktemp("ablated") / "clone"
    shutil.copytree(trained.root, root)
    (root / "reduced.yaml").write_text(yaml.safe_dump(REDUCED))
    clone = Copy(root)
    command = ("snakemake", "--cores", "all", "--configfile", ABLATION, "reduced.yaml")
    done = clone.call(*command, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    return clone


def test_the_table_has_each_variant_over_its_seeds(ablated: Copy) -> None:
    results = ablated.root / "results" / "ehin_components"
    with (results / "ablation.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["variant"] for row in rows} == {"full", "no_eclm"}
    assert {(row["rung"], row["seeds"]) for row in rows} == {("response", "2")}
    metrics = read_json(results / "metrics.json")["miniature"]
    for row in rows:
        if (row["style"], row["metric"]) == ("all", "PointM"):
            runs = [metrics[f"{row['variant']}-{seed}"][row["split"]] for seed in range(2)]
            mean = sum(run["response"]["PointM"] for run in runs) / 2
            assert abs(float(row["mean"]) - mean) < 0.01
            published = {"full": "55.630", "no_eclm": "45.830"}[row["variant"]]
            is_headline = row["split"] == "testA"
            assert row["published: EHIN Table 6"] == (published if is_headline else "")
    assert (results / "figures" / "ablation.png").is_file()
    assert "EHIN Table 6" in (results / "report.html").read_text(encoding="utf-8")


def test_stage_two_is_not_trained(ablated: Copy) -> None:
    made = {path.name for path in (ablated.root / "artifacts" / "runs" / "full-0").iterdir()}
    assert made == {"localizer.safetensors", "localizer_curves.csv", "responses.parquet"}


def test_the_training_split_is_not_looked_at(ablated: Copy) -> None:
    """No pseudo-labels are made of it."""
    runs: Path = ablated.root / "artifacts" / "runs"
    whole, short = (runs / run / "responses.parquet" for run in ("weak", "full-0"))
    assert short.stat().st_size < whole.stat().st_size


def test_another_table_takes_over_what_is_trained(ablated: Copy) -> None:
    files = ("--configfile", OTHER, "again.yaml")
    again = {"localizer": REDUCED["localizer"]}
    (ablated.root / "again.yaml").write_text(yaml.safe_dump(again))
    jobs = {job.stage for job in planned_jobs(*files, root=ablated.root)}
    assert {"train_localizer-once-0", "train_localizer-full-2", "evaluate-full-0"} <= jobs
    assert not {"train_localizer-full-0", "respond-full-0", "pretrain", "tables"} & jobs
