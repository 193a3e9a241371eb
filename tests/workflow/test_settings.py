"""A step reads no key of the configuration that its rule does not watch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config, load
from pipeline.runs import STEP_KEYS
from pipeline.workflow import flow_of

# Names of files and the machine's means: they change where and how fast, never what.
FREE = ("paths", "machine", "dataset.folder")


def keys_read(tree: ast.AST) -> Iterator[str]:
    """The dotted keys that a source file reads from its ``config`` or ``settings``."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        parts: list[str] = []
        if id(node) in inner:
            continue
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        known = bool(parts) and parts[0] in Config.model_fields
        if known and isinstance(node, ast.Name) and node.id in ("config", "settings"):
            yield ".".join(parts)


def is_watched(key: str, watched: tuple[str, ...]) -> bool:
    return any(f"{key}.".startswith(f"{w}.") or f"{w}.".startswith(f"{key}.") for w in watched)


@pytest.mark.parametrize("step", STEP_KEYS)
def test_every_key_that_a_step_reads_is_watched(repository: Path, step: str) -> None:
    source = (repository / "pipeline" / "steps" / f"{step}.py").read_text()
    read = set(keys_read(ast.parse(source)))
    unwatched = {key for key in read if not is_watched(key, (*STEP_KEYS[step], *FREE))}
    assert not unwatched, f"add to STEP_KEYS[{step!r}] in pipeline/runs.py"


def test_watched_keys_exist(repository: Path) -> None:
    base = repository / "config.yaml"
    flow = flow_of(load([base]).model_dump(mode="json"), base=base)
    for step in STEP_KEYS:
        assert flow.settings(step, flow.runs[0])


def test_the_reader_of_keys_sees_chains_and_no_more() -> None:
    source = "a = settings.encoder.image_size\nb = config.dataset\nc = other.seed\nconfig.items()"
    assert set(keys_read(ast.parse(source))) == {"encoder.image_size", "dataset"}
