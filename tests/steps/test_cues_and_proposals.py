"""What PCNet's steps read beside pictures and texts, and only where it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.config import Config, check, merge
from pipeline.layout import Layout
from pipeline.runs import has_cues, learns_from_proposals, owner, step_settings
from pipeline.safety import InputError
from pipeline.steps import cues_and_proposals, respond, train_localizer
from pipeline.steps.cues_and_proposals import table_of_cues
from pipeline.steps.inputs import expressions_of
from pipeline.steps.localizer_network import build_localizer
from pipeline.steps.predict import load_viewer
from pipeline.store import read_maps
from pipeline.training.weights import load_weights, save_weights
from tests.training import real, tiny

OFF = {"loss_weights": {"shrinking": 0, "disambiguation": 0}}


def configured(folder: Path, **changes: Any) -> Config:
    content = real.config(folder, method="pcnet").model_dump(mode="json")
    return check(merge(merge(content, {"cues": {"backend": "rules"}}), changes))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pcnet")
    real.write_inputs(found)
    return found


def test_only_pcnet_is_told_anything(folder: Path) -> None:
    tris, pcnet = real.config(folder), configured(folder)
    assert not has_cues(tris) and not learns_from_proposals(tris)
    assert cues_and_proposals.files(tris) == {}
    assert cues_and_proposals.told(tris, torch.nn.Identity()) == (None, None)
    assert table_of_cues(tris, []) is None
    assert list(cues_and_proposals.files(pcnet)) == ["cues 0", "proposals 0"]


def test_without_region_losses_no_proposals_are_read(folder: Path) -> None:
    config = configured(folder, pcnet=OFF)
    assert has_cues(config) and not learns_from_proposals(config)
    assert list(cues_and_proposals.files(config)) == ["cues 0"]
    found = cues_and_proposals.told(config, build_localizer(config, with_critic=True))
    assert found.cues and found.proposals is None


def test_cues_and_proposals_are_those_of_the_tables(folder: Path) -> None:
    config = configured(folder)
    found = cues_and_proposals.told(config, build_localizer(config, with_critic=True))
    assert found.cues is not None and found.proposals is not None
    expressions = expressions_of(config, ["train"])
    assert set(found.cues) == {e.sent_id for e in expressions}
    by_text = table_of_cues(config, expressions)
    assert by_text is not None
    for e in expressions:
        words = e.text.split()
        expected = tuple(" ".join(words[: place + 1]) for place in range(5))
        assert found.cues[e.sent_id] == by_text(e.text) == expected
    # levels [1, 3] of strides 8 and 16: 4 cells a side of 8 pixels, bars of 6
    masks = found.proposals.of_image(2)
    assert masks.shape == (4, 4, 4)
    np.testing.assert_allclose(masks[:2, 0], [[0.75, 0, 0, 0], [0.25, 0.5, 0, 0]], atol=0.01)
    assert not masks[2:].any()


@pytest.fixture(scope="module")
def trained(folder: Path) -> Config:
    config = configured(folder)
    torch.manual_seed(0)
    train_localizer.run(config, run="weak")
    # as if it had been trained for long: the modules start out as nothing
    path = Layout.of(config).localizer("weak")
    network = build_localizer(config, with_critic=False)
    load_weights(network, path)
    with torch.no_grad():
        for parameter in network.stages.parameters():  # type: ignore[union-attr]
            parameter += 0.1 * torch.randn(parameter.shape)
    save_weights(network, path, metadata={})
    return config


def test_it_is_trained_by_its_step(trained: Config) -> None:
    rows = tiny.curve(Layout.of(trained).curves("weak", "localizer"))
    assert {"classification", "contrast", "shrinking", "disambiguation"} <= rows[0].keys()
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert any(float(row["disambiguation"]) != 0 for row in rows)


def test_answering_at_another_stage_takes_no_other_training(trained: Config) -> None:
    content = trained.model_dump(mode="json")
    content["runs"] = {"weak": {}, "first": {"pcnet": {"crm": {"answer": 0}}}}
    config = check(content)
    assert owner(config, "first", "train_localizer") == "weak"
    assert owner(config, "first", "respond") == "first"
    assert step_settings(config, "first", "respond") != step_settings(config, "weak", "respond")


def test_what_is_stored_is_what_a_person_is_answered(trained: Config) -> None:
    """By the table's cues in the step, by those of the configured backend in `ris predict`."""
    respond.run(trained, run="weak")
    expressions = expressions_of(trained, ["train"])
    stored: dict[int, Any] = {}
    for columns, maps in read_maps(Layout.of(trained).responses("weak")):
        stored |= dict(zip(columns["sent_id"], maps, strict=True))
    assert set(stored) == {e.sent_id for e in expressions}
    viewer = load_viewer(trained, "weak", stage="localizer")
    table = table_of_cues(trained, expressions)
    for cues in (table, viewer._cues):
        viewer._cues = cues
        mine = [e for e in expressions if e.image_id == 2]
        picture = tiny.read_image(tiny.image_records()[2])
        (maps,) = viewer.respond([(picture, [e.text for e in mine])], total=1, title="one image")
        assert maps.shape == (6, 4, 4) and np.isfinite(maps).all()
        same = np.allclose(maps, [stored[e.sent_id] for e in mine], rtol=0.05, atol=0.05)
        assert same == (cues is table)


def test_what_lacks_is_named(folder: Path, tmp_path: Path) -> None:
    real.write_inputs(tmp_path)
    config = configured(tmp_path)
    Layout.of(config).cues(0).unlink()
    with pytest.raises(InputError, match=r"cues-0-of-1\.parquet"):
        train_localizer.run(config, run="weak")


def test_other_cues_are_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    monkeypatch.setattr(
        "pipeline.steps.fitting.fit", lambda *_, run_key, **__: keys.append(run_key)
    )
    real.write_inputs(tmp_path)
    config = configured(tmp_path)
    train_localizer.run(config, run="weak")
    real.write_proposals(tmp_path, images=6)
    train_localizer.run(config, run="weak")
    real.write_cues(tmp_path, most=3)
    train_localizer.run(config, run="weak")
    assert len(set(keys)) == 3
