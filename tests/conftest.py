"""The one small run of everything that the tests of the outermost words share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipeline.config import merge, read_yaml
from tests.repository import ROOT, Copy, copy_repository


@dataclass(frozen=True)
class Trained:
    """A clone in which the workflow has run, and what it said."""

    clone: Copy
    said: str

    @property
    def root(self) -> Path:
        return self.clone.root


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``snakemake --cores all`` from nothing, at the sizes of experiments/miniature_tiny.yaml.

    They stand in the clone's own config.yaml, in the default folders and with one run, so that
    every line of the README works there as it is. Tests may add files but change none.
    """
    clone = copy_repository(tmp_path_factory.mktemp("trained"))
    default = read_yaml(ROOT / "config.yaml")
    tiny = read_yaml(ROOT / "experiments" / "miniature_tiny.yaml")
    places = {
        "paths": default["paths"],
        "machine": {"shards": 1},
        "dataset": {"folder": default["dataset"]["folder"]},
        "encoder": {"model": default["encoder"]["model"]},
        "critic": {"model": default["critic"]["model"]},
        "runs": {"supervised": None},
    }
    content = merge(merge(default, tiny), places)
    (clone.root / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    written = clone.call("pipeline.workflow", "dvc")
    assert written.returncode == 0, written.stderr
    done = clone.call("snakemake", "--cores", "all", timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    return Trained(clone, done.stdout + done.stderr)
