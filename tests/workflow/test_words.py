"""The words of the Makefile work; those of the README are in tests/test_readme.py."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest


def make(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=repository, capture_output=True, text=True, timeout=60
    )


def test_make_without_a_target_lists_the_words(repository: Path) -> None:
    done = make(repository)
    assert done.returncode == 0, done.stderr
    for word in ("run", "test", "lint", "bench", "touch", "dvc", "clean"):
        assert re.search(rf"^{word}\s+\S", done.stdout, re.MULTILINE), word


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("run", "snakemake --cores all"),
        ("test", "pytest"),
        ("touch", "--touch"),
        ("dvc", "pipeline.workflow dvc"),
    ],
)
def test_make_runs_the_right_command(repository: Path, word: str, command: str) -> None:
    done = make(repository, "--dry-run", word)
    assert done.returncode == 0, done.stderr
    assert command in done.stdout


def test_set_up_without_a_usable_python_says_what_to_do(repository: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "envs/create_venv.sh", str(tmp_path / "venv")],
        cwd=repository,
        env={**os.environ, "PYTHON": "no-such-python", "EXTRAS": "test"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no usable Python" in done.stderr and "make PYTHON=" in done.stderr


def test_the_check_of_a_change_is_executable(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
