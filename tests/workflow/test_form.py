"""The Snakefile's form, its pictures, and the environments that its rules name."""

from __future__ import annotations

import re
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline.runs import STEP_KEYS
from tests.conftest import Trained

from .conftest import Workspace


def rules(repository: Path) -> dict[str, str]:
    """Name -> text of every rule of the Snakefile but `all`."""
    text = (repository / "Snakefile").read_text()
    found = re.findall(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: body for name, body in found if name != "all"}


def test_every_rule_names_its_environment_log_cost_and_settings(repository: Path) -> None:
    found = rules(repository)
    assert len(found.keys() & STEP_KEYS.keys()) > 10
    for name, body in found.items():
        [environment] = re.findall(r'conda:\s+"([^"]+)"', body)
        assert (repository / environment).is_file(), name
        for directive in ("output:", "log:", "benchmark:", "resources:", "params:", "runtime="):
            assert directive in body, f"{name} has no {directive}"
        if name in STEP_KEYS:
            assert f'flow.settings("{name}"' in body and f'code=code_of("{name}")' in body, name
        assert "attempt" in body, f"{name}: memory must grow with the attempt"


@pytest.mark.skipif(find_spec("snakefmt") is None, reason="snakefmt is not installed")
def test_the_snakefile_is_formatted(workspace: Workspace, repository: Path) -> None:
    settings = ["--config", str(repository / "pyproject.toml")]
    done = workspace.call("snakefmt", "--check", "--diff", *settings, "Snakefile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_graph_of_jobs_can_be_drawn(workspace: Workspace) -> None:
    done = workspace.call("snakemake", "--dag", "--forceall")
    assert done.returncode == 0, done.stderr
    assert done.stdout.lstrip().startswith("digraph")
    for stage in {job.rule for job in workspace.jobs}:
        assert re.search(rf'label ?= ?"{stage}', done.stdout), stage


@pytest.mark.timeout(900)
def test_the_report_of_a_run_is_one_archive(trained: Trained) -> None:
    done = trained.clone.call("snakemake", "--report", "report.zip")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(trained.root / "report.zip") as archive:
        ours = [name for name in archive.namelist() if re.search(r"/data/.*report\.html$", name)]
        assert len(ours) == 1
        assert archive.read(ours[0]) == (trained.root / "results" / "report.html").read_bytes()
