"""The one small run of everything that the tests of the outermost words share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def reduced_copy(target: Path, *, machine: dict[str, Any]) -> Copy:
    """A clone at the sizes of experiments/miniature_tiny.yaml, with one run.

    They stand in the clone's own config.yaml, in the default folders, so that every command works
    there as it is.
    """
    clone = copy_repository(target)
    default = read_yaml(ROOT / "config.yaml")
    tiny = read_yaml(ROOT / "experiments" / "miniature_tiny.yaml")
    places = {
        "paths": default["paths"],
        "machine": machine,
        "dataset": {"folder": default["dataset"]["folder"]},
        "encoder": {"model": default["encoder"]["model"]},
        "critic": {"model": default["critic"]["model"]},
        "sam": {"model": default["sam"]["model"]},
        "runs": {"supervised": None},
    }
    content = merge(merge(default, tiny), places)
    (clone.root / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    written = clone.call("pipeline.workflow", "dvc")
    assert written.returncode == 0, written.stderr
    return clone


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``snakemake --cores all`` from nothing in a reduced copy with one shard.

    Tests may add files but change none.
    """
    clone = reduced_copy(tmp_path_factory.mktemp("trained"), machine={"shards": 1})
    done = clone.call("snakemake", "--cores", "all", timeout=850)
    assert done.returncode == 0, done.stdout + done.stderr
    return Trained(clone, done.stdout + done.stderr)
