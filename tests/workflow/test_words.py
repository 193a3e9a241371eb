"""The words that a person types: those of the README exist, and those of the Makefile work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pipeline.cli import app


def make(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=repository, capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def shown(repository: Path) -> str:
    """The code blocks of the README."""
    text = (repository / "README.md").read_text()
    return "\n".join(re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, re.DOTALL))


def test_make_targets_of_the_readme_exist(repository: Path, shown: str) -> None:
    targets = set(re.findall(r"^\$?\s*make ([a-z]+)", shown, re.MULTILINE))
    assert targets >= {"run", "test"}
    known = set(re.findall(r"^([a-z]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    assert targets <= known


def test_verbs_of_the_readme_exist(shown: str) -> None:
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = set(re.findall(r"^\$?\s*(?:\.venv/bin/)?ris ([a-z-]+)", shown, re.MULTILINE))
    assert used and used <= verbs


def test_files_of_the_readme_exist(repository: Path, shown: str) -> None:
    for name in re.findall(r"experiments/[\w.-]+\.yaml", shown):
        assert (repository / name).is_file(), name


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
