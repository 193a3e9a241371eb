"""``ris demo``: one picture of what a run sees, of held-out images or of the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps import demo, miniature, tables
from pipeline.steps.inputs import expressions_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.segmentor_network import build_segmentor
from pipeline.training.weights import save_weights
from tests import networks
from tests.report.fabricated import configuration


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The miniature's tables and two runs of random weights; ``supervised`` has no localizer."""
    folder = tmp_path_factory.mktemp("trained")
    model = str(folder / "artifacts/encoders/small_clip")
    encoder = {"model": model, "image_size": networks.SIDE, "context": networks.CONTEXT}
    config = configuration(folder, encoder=encoder, localizer={"hidden": 16})
    layout = Layout.of(config)
    miniature.run(config, processes=1)
    tables.run(config)
    networks.encoder(0).save(layout.small_clip)
    localizer = build_localizer(config, with_critic=False)
    save_weights(localizer, layout.localizer("weak"), metadata={})
    for run in config.runs:
        save_weights(build_segmentor(config), layout.segmentor(run), metadata={})
    return config


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def run(config: Config, **changes: Any) -> None:
    arguments: dict[str, Any] = {"run": None, "image": None, "expressions": [], "output": None}
    demo.run(config, **(arguments | changes))


def picture(path: Path, size: tuple[int, int]) -> Path:
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)
    return path


def test_held_out_images_are_shown_and_the_path_is_printed(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config)
    path = Path(config.paths.results) / "demo" / "weak.png"
    assert capsys.readouterr().out.endswith(f"run weak: {path}\n")
    with Image.open(path) as drawn:
        assert drawn.width > 3 * demo.SIDE and drawn.height > demo.IMAGES * demo.SIDE
    before = path.read_bytes()
    run(config)
    assert path.read_bytes() == before


def test_only_held_out_sentences_about_different_objects_are_drawn(config: Config) -> None:
    held_out = {e.text for e in expressions_of(config, [config.dataset.headline])}
    items = demo.held_out(config)
    assert len(items) == demo.IMAGES
    for image, texts in items:
        assert image.shape[2] == 3 and 1 <= len(set(texts)) == len(texts) <= demo.EXPRESSIONS
        assert set(texts) <= held_out


def test_ones_own_image_and_words(config: Config, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (90, 50))
    words = ["red star", "猫 🐈"]
    run(config, image=image, expressions=words, output=tmp_path / "deep" / "out")
    assert [path.name for path in (tmp_path / "deep" / "out").iterdir()] == ["weak.png"]
    ((view, score), _) = demo.look(config, "weak", [(np.zeros((50, 90, 3), np.uint8), words)])
    assert view.text == "red star" and view.truth is None and view.pseudo_label is None
    assert view.heat is not None and view.heat.shape == view.prediction.shape == (50, 90)
    assert 0 <= view.prediction_peak[0] < 90 and 0 <= view.prediction_peak[1] < 50
    assert ("score" in score) == view.prediction.any()


def test_a_supervised_run_has_no_response(config: Config, tmp_path: Path) -> None:
    image = picture(tmp_path / "a.png", (40, 40))
    for name in ("weak", "supervised"):
        run(config, run=name, image=image, expressions=["top"], output=tmp_path)
    weak, supervised = (Image.open(tmp_path / f"{n}.png").width for n in ("weak", "supervised"))
    assert supervised < weak


def test_a_run_without_its_localizer_says_what_to_do(config: Config, tmp_path: Path) -> None:
    missing = config.model_copy(update={"runs": {"new": {"localizer": {"alpha": 0.5}}}})
    with pytest.raises(InputError, match="make run"):
        run(missing, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_words_for_ones_own_image_are_told(config: Config, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one expression"):
        run(config, image=picture(tmp_path / "a.png", (40, 40)), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
