"""`dvc` by hand on real artifacts: repro, exp run, diff, plots; beside `snakemake`, nothing twice.

`dvc push`, `dvc pull` and `make touch` are in tests/test_readme.py.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Trained, reduced_copy
from tests.repository import Copy

from .conftest import AFTER_THE_LOCALIZER

pytestmark = pytest.mark.timeout(1800)

CHANGE = "inference.mirror_responses"


@pytest.fixture(scope="module")
def tracked(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the trained clone whose sources and dvc.lock are committed."""
    root = tmp_path_factory.mktemp("tracked") / "clone"
    shutil.copytree(trained.root, root, symlinks=True)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", "add", "--all"], cwd=root, check=True, capture_output=True)
    subprocess.run(["git", *author, "commit", "-qm", "all"], cwd=root, check=True)
    return Copy(root)


def stages_run(said: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", said)


def test_repro_in_a_fresh_clone_runs_everything(trained: Trained, tmp_path: Path) -> None:
    clone = reduced_copy(tmp_path / "fresh", machine={"shards": 1})
    done = clone.call("dvc", "repro", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(stages_run(done.stdout)) == len(set(stages_run(done.stdout))) >= 12
    for path in ("results/metrics.json", "artifacts/runs/weak/segmentor.safetensors"):
        assert (clone.root / path).read_bytes() == (trained.root / path).read_bytes(), path
    after = clone.call("snakemake", "--cores", "all")
    assert "Nothing to be done" in after.stdout + after.stderr


def test_an_experiment_runs_what_its_change_touches_and_can_be_compared(tracked: Copy) -> None:
    done = tracked.call("dvc", "exp", "run", "-S", f"config.yaml:{CHANGE}=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_run(done.stdout + done.stderr) == list(AFTER_THE_LOCALIZER)

    after = tracked.call("snakemake", "--cores", "all")
    assert "Nothing to be done" in after.stdout + after.stderr
    changed = json.loads(tracked.call("dvc", "params", "diff", "--json").stdout)
    assert changed["config.yaml"].keys() == {CHANGE}
    assert changed["config.yaml"][CHANGE].items() >= {"old": True, "new": False}.items()
    metrics = json.loads(tracked.call("dvc", "metrics", "diff", "--json").stdout)
    # so small a segmentor may well find nothing, before and after
    assert (
        {"response"}
        <= {Path(name).stem for name in metrics}
        <= {
            "response",
            "pseudo_label",
            "segmentor",
        }
    )
    moved = [figure for file in metrics.values() for figure in file.values()]
    assert all(figure["diff"] == figure["new"] - figure["old"] != 0 for figure in moved)
    shown = tracked.call("dvc", "plots", "show", "--out", "plots")
    assert shown.returncode == 0, shown.stderr
    page = (tracked.root / "plots" / "index.html").read_text()
    for curves in ("localizer_curves.csv", "segmentor_curves.csv", "small_clip/curves.csv"):
        assert curves in page
    with (tracked.root / "artifacts/runs/weak/localizer_curves.csv").open() as file:
        losses = [row["loss"] for row in csv.DictReader(file)]
    assert len(losses) > 2 and all(loss in page for loss in losses)  # the points themselves
    names = tracked.call("dvc", "exp", "list", "--name-only").stdout.split()
    assert len(names) == 1

    subprocess.run(["git", "checkout", "-q", "config.yaml"], cwd=tracked.root, check=True)
    again = tracked.call("snakemake", "--cores", "all")
    assert again.returncode == 0, again.stderr
    ran = re.findall(r"^(?:local)?rule (\w+):", again.stdout + again.stderr, re.MULTILINE)
    assert sorted(ran) == sorted(
        ["all", *(name.removesuffix("-weak") for name in AFTER_THE_LOCALIZER)]
    )
    nothing = tracked.call("dvc", "repro")
    assert "Data and pipelines are up to date" in nothing.stdout and not stages_run(nothing.stdout)


def test_metrics_show_the_ladder_as_a_table(tracked: Copy) -> None:
    done = tracked.call("dvc", "metrics", "show", "--json")
    files = json.loads(done.stdout)[""]["data"]
    for run, rung in (("weak", "response"), ("weak", "segmentor"), ("baselines", "random_object")):
        assert "mIoU" in files[f"results/ladder/{run}/{rung}.json"]["data"]
