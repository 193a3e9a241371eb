"""A training resumes what it left only if everything that its result follows from is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, check
from pipeline.steps import fitting, train_localizer, train_segmentor
from tests.training import real

MODULES = {"localizer": (train_localizer, "weak"), "segmentor": (train_segmentor, "supervised")}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The run keys of the trainings that were asked for; none is done."""
    found: list[str] = []
    monkeypatch.setattr(fitting, "fit", lambda *_, run_key, **__: found.append(run_key))
    return found


def configured(folder: Path, **weights: float) -> Config:
    """The tiny configuration with a critic in a folder of its own."""
    content: dict[str, Any] = real.config(folder).model_dump()
    content["critic"]["model"] = str(folder / "critic")
    content["localizer"]["loss_weights"] |= weights
    return check(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    real.write_inputs(tmp_path)
    (tmp_path / "clip").rename(tmp_path / "critic")
    (tmp_path / "raw").rename(tmp_path / "old")
    real.write_inputs(tmp_path)
    return tmp_path


def change(path: Path) -> None:
    """Other bytes of the same meaning: the header of a safetensors file, or JSON, with a blank."""
    if path.suffix == ".json":
        path.write_text(path.read_text() + " ")
        return
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    path.write_bytes((size + 8).to_bytes(8, "little") + content[8 : 8 + size] + b" " * 8)
    with path.open("ab") as file:
        file.write(content[8 + size :])


@pytest.mark.parametrize("name", ["open_clip_model.safetensors", "vocabulary.json"])
def test_another_critic_is_another_training(folder: Path, keys: list[str], name: str) -> None:
    config = configured(folder)
    for _ in range(2):
        train_localizer.run(config, run="weak")
    assert keys[0] == keys[1]
    change(folder / "critic" / name)
    train_localizer.run(config, run="weak")
    assert keys[2] != keys[0]


def test_a_critic_without_a_say_does_not_matter(folder: Path, keys: list[str]) -> None:
    config = configured(folder, foreground=0, calibration=0)
    train_localizer.run(config, run="weak")
    change(folder / "critic" / "open_clip_model.safetensors")
    train_localizer.run(config, run="weak")
    assert keys[0] == keys[1]


@pytest.mark.parametrize("stage", MODULES)
def test_another_vocabulary_is_another_training(folder: Path, keys: list[str], stage: str) -> None:
    """The loop sees the encoder's weights itself, but not what its tokens mean."""
    module, run = MODULES[stage]
    config = configured(folder)
    module.run(config, run=run)
    change(folder / "clip" / "vocabulary.json")
    module.run(config, run=run)
    assert keys[0] != keys[1]
