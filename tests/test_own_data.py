"""Pictures and sentences of one's own, without a mask, by Snakemake: experiments/own_data.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.config import read_yaml
from pipeline.store import read_json, read_table, rle_decode
from tests.conftest import Trained
from tests.datasets.drawn import SIDE, draw_own
from tests.repository import Copy

pytestmark = pytest.mark.timeout(1800)  # the first test waits for the whole workflow, then another
FILES = ("experiments/own_data.yaml", "small.yaml")
CONFIG = [word for name in ("config.yaml", *FILES) for word in ("-c", name)]


@pytest.fixture(scope="module")
def own(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The template at the sizes and with the small CLIP of the tiny run; not run yet."""
    root = tmp_path_factory.mktemp("own") / "clone"
    shutil.copytree(trained.root, root, ignore=shutil.ignore_patterns("results", "cache", "tmp"))
    sizes = read_yaml(root / "config.yaml")
    small = {
        key: sizes[key] for key in ("encoder", "critic", "proposals", "localizer", "segmentor")
    }
    small |= {"paths": {"artifacts": "artifacts"}, "dataset": {"held_out": 0.25}}
    small |= {"runs": {"weak": None, "own": {}}}
    (root / "small.yaml").write_text(yaml.safe_dump(small))
    return Copy(root)


def test_mistakes_are_told_before_anything_is_trained(own: Copy) -> None:
    folder = draw_own(own.root / "data" / "own", images=3)
    with open(folder / "expressions.csv", "a", encoding="utf-8") as file:
        file.write("photo 1.png,\ngone.png,the cup\n")
    told = own.call("pipeline.cli", "check", *CONFIG)
    assert told.returncode == 2
    lines = [line.strip() for line in told.stderr.splitlines()]
    assert "error: data/own/expressions.csv: 2 mistakes" in lines
    assert "line 8: has no expression" in lines
    assert any(line.startswith("line 9: data/own/images/gone.png: no such file") for line in lines)
    done = own.call("snakemake", "--cores", "all", "--configfile", *FILES)
    assert done.returncode != 0 and "train_localizer.log" not in done.stderr
    assert "line 8: has no expression" in (own.root / "logs" / "tables.log").read_text()
    assert not (own.root / "artifacts" / "runs" / "own").exists()


def test_the_workflow_runs_to_its_end_without_a_mask(own: Copy) -> None:
    """The list, once corrected, makes the tables again."""
    draw_own(own.root / "data" / "own", images=8)
    done = own.call("snakemake", "--cores", "all", "--configfile", *FILES, timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule pretrain:" not in done.stderr + done.stdout
    results = own.root / "results" / "own"
    assert read_json(results / "metrics.json") == {
        "own": {"own": {"train": {"without_mask": 12}, "val": {"without_mask": 4}}}
    }
    page = (results / "report.html").read_text()
    assert "4 expressions have no mask to be measured against" in page
    assert page.count("<article") == 2 and ">prediction<" in page and ">truth<" not in page
    table = read_table(own.root / "artifacts/runs/own/predictions.parquet", kind="predictions")
    rows = table.to_pylist()
    assert len(rows) == 4
    assert {rle_decode(row["rle"], row["height"], row["width"]).shape for row in rows} == {
        (SIDE, SIDE)
    }


def test_it_predicts(own: Copy, tmp_path: Path) -> None:
    picture = own.root / "data/own/images/photo 0.png"
    words = [str(picture), "the red disc", *CONFIG, "-o", str(tmp_path)]
    done = own.call("pipeline.cli", "predict", *words)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "predictions.json")[0]["expression"] == "the red disc"


def test_what_is_there_is_told(own: Copy) -> None:
    told = own.call("pipeline.cli", "check", *CONFIG)
    assert told.returncode == 0, told.stderr
    assert "own data       val: 2 pictures, 4 expressions of 4 referents, 0 of them" in told.stdout
    assert "\nall " in told.stdout


def test_an_edited_list_is_read_again(own: Copy) -> None:
    """Tables and what follows from them; that is planned, not run."""
    done = own.call("snakemake", "--cores", "all", "--configfile", *FILES, "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr
    draw_own(own.root / "data" / "own", images=8, masks=3)
    done = own.call("snakemake", "--cores", "all", "--configfile", *FILES, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "rule tables:" in done.stdout and "rule evaluate:" in done.stdout
