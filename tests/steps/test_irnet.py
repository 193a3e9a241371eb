"""IRNet in the flow: labels, training and refinement by the real steps, from responses alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.layout import Layout
from pipeline.pseudo_labels import CrfKernels, Exclusion, Prms, ReferentState, refine_image
from pipeline.pseudo_labels.irnet import LabelRule
from pipeline.pseudo_labels.state import normalised_maps
from pipeline.safety import InputError
from pipeline.steps import label_irnet, train_irnet
from pipeline.steps.inputs import expressions_of, images_of, pictures_of
from pipeline.steps.irnet_network import build_irnet
from pipeline.steps.refiners import build_refiners
from pipeline.store import labels_decode, read_maps, read_table, rle_decode
from pipeline.training.weights import load_weights
from tests.steps import weak_irnet
from tests.training import real, tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images and their labels."""
    found = tmp_path_factory.mktemp("irnet")
    weak_irnet.write_inputs(found, images=8)
    weak_irnet.label(weak_irnet.config(found))
    return found


def labels_of(folder: Path) -> dict[int, np.ndarray]:
    return {
        row["image_id"]: labels_decode(row["labels"], row["height"], row["width"])
        for path in Layout.of(weak_irnet.config(folder)).all_irnet_labels("weak")
        for row in read_table(path, kind="irnet_labels").to_pylist()
    }


def test_labels_are_those_of_the_maps_before_irnet(folder: Path) -> None:
    """Of an image of three referents whose sentences agree in PRMS and compete in exclusion."""
    config = weak_irnet.config(folder)
    section = config.pseudo_labels
    mine = [e for e in expressions_of(config, ["train"]) if e.image_id == 2]
    (columns, raw) = next(
        found
        for found in read_maps(Layout.of(config).responses("weak"))
        if found[0]["image_id"][0] == 2
    )
    of = dict(zip(columns["sent_id"], raw, strict=True))
    states = []
    for ref_id in dict.fromkeys(e.ref_id for e in mine):
        sentences = [e for e in mine if e.ref_id == ref_id]
        maps = np.stack([of[e.sent_id] for e in sentences])
        ids, texts = tuple(e.sent_id for e in sentences), tuple(e.text for e in sentences)
        maps = normalised_maps(maps, height=tiny.SIDE, width=tiny.SIDE)
        states.append(ReferentState.start(ref_id=ref_id, sent_ids=ids, texts=texts, maps=maps))
    image = pictures_of(config).load(images_of(config, ["train"])[2])
    rule = LabelRule(
        **section.irnet.labels.model_dump(),
        kernels=CrfKernels(**section.crf.kernels.model_dump()),
        iterations=section.crf.iterations,
        gt_prob=section.crf.gt_prob,
    )
    before = [
        Prms(combine="mean", critic=None, batch_size=1, device="cpu"),
        Exclusion(weight=section.exclusion.weight),
    ]
    refined = refine_image(image, states, np.zeros((0, *image.shape[:2]), dtype=bool), before)
    expected = rule(image, np.concatenate([state.soft for state in refined]))
    assert len(refined) == 3 and len(np.unique(expected)) > 2
    assert np.array_equal(labels_of(folder)[2], expected)


def test_equal_inputs_give_equal_bytes(folder: Path) -> None:
    config = weak_irnet.config(folder)
    before = [path.read_bytes() for path in Layout.of(config).all_irnet_labels("weak")]
    assert weak_irnet.label(config) == before
    first = weak_irnet.train(config)
    assert weak_irnet.train(config) == first
    assert weak_irnet.pseudo_label(config) == weak_irnet.pseudo_label(config)


def test_the_mean_displacement_is_stored(folder: Path) -> None:
    config = weak_irnet.config(folder)
    weak_irnet.train(config)
    network = build_irnet(config)
    load_weights(network, Layout.of(config).irnet("weak"))
    pictures, records = pictures_of(config), images_of(config, ["train"]).values()
    encoder = network.trunk.encoder
    seen = [(pictures.load(record) / 255 - encoder.mean) / encoder.std for record in records]
    images = torch.from_numpy(np.stack(seen)).float().permute(0, 3, 1, 2)
    _, displacement = network.infer(images)
    assert network.mean_displacement.abs().max() > 0
    assert displacement.mean(dim=(0, 2, 3)).abs().max() < 1e-5


def test_killed_and_started_again_ends_in_the_same_bits(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "tests.steps.weak_irnet", str(folder), "6"],
        cwd=real.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    config = weak_irnet.config(folder)
    resumed = weak_irnet.train(config)
    assert "resumes after step 4" in capfd.readouterr().err
    rows = tiny.curve(Layout.of(config).curves("weak", "irnet"))
    assert weak_irnet.train(config) == resumed
    assert "resumes" not in capfd.readouterr().err
    assert tiny.curve(Layout.of(config).curves("weak", "irnet")) == rows
    assert not (Layout.of(config).artifacts / "checkpoints").exists() or not any(
        (Layout.of(config).artifacts / "checkpoints").iterdir()
    )


@pytest.mark.parametrize("images", [1, 19])
def test_any_number_of_images(tmp_path: Path, images: int) -> None:
    """With one image a shard has none."""
    weak_irnet.write_inputs(tmp_path, images=images)
    config = weak_irnet.config(tmp_path)
    weak_irnet.label(config)
    assert sorted(labels_of(tmp_path)) == list(range(images))
    weak_irnet.train(config)
    weak_irnet.pseudo_label(config)
    rows = [
        row
        for path in Layout.of(config).all_pseudo_labels("weak")
        for row in read_table(path, kind="pseudo_labels").to_pylist()
    ]
    wanted = {e.sent_id for e in expressions_of(config, ["train"])}
    assert {row["sent_id"] for row in rows} == wanted and len(rows) == len(wanted)
    assert all(row["source"].endswith("/irnet") for row in rows)
    areas = [rle_decode(row["rle"], row["height"], row["width"]).mean() for row in rows]
    assert all(0 < area < 1 for area in areas)


def test_maps_of_nothing_teach_nothing_and_give_empty_masks(tmp_path: Path) -> None:
    weak_irnet.write_inputs(tmp_path, images=2, silent=True)
    config = weak_irnet.config(tmp_path)
    weak_irnet.label(config)
    assert {int(value) for labels in labels_of(tmp_path).values() for value in labels.flat} == {0}
    weak_irnet.train(config)
    curve = tiny.curve(Layout.of(config).curves("weak", "irnet"))
    assert {row["foreground_affinity"] for row in curve} == {"0"}
    assert float(curve[-1]["background_affinity"]) > 0
    weak_irnet.pseudo_label(config)
    for path in Layout.of(config).all_pseudo_labels("weak"):
        for row in read_table(path, kind="pseudo_labels").to_pylist():
            assert not rle_decode(row["rle"], row["height"], row["width"]).any()
            assert row["score"] == 0


def test_widths_for_other_levels_are_told_by_key(folder: Path) -> None:
    config = weak_irnet.config(folder, network={"displacement_widths": [8, 8]})
    with pytest.raises(InputError, match=r"pseudo_labels.irnet.network.displacement_widths: \(8"):
        build_irnet(config)


def test_the_trunk_is_the_one_that_is_named(folder: Path) -> None:
    own = build_irnet(weak_irnet.config(folder)).trunk.encoder
    assert (
        own.channels
        == build_irnet(weak_irnet.config(folder, trunk="critic")).trunk.encoder.channels
    )
    widths = {"displacement_widths": [8] * 5}
    paper = weak_irnet.config(folder, trunk="resnet50", resnet50=None, network=widths)
    assert build_irnet(paper).trunk.encoder.channels == (64, 256, 512, 1024, 2048)


def test_refining_before_training_says_what_to_do(folder: Path) -> None:
    with pytest.raises(InputError, match="ris train-irnet"):
        build_refiners(weak_irnet.config(folder), ["irnet"], irnet=None)


def test_a_run_without_irnet_has_nothing_to_train(folder: Path) -> None:
    config = real.config(folder)
    for step in (
        lambda: label_irnet.run(config, run="weak", shard=0),
        lambda: train_irnet.run(config, run="weak"),
    ):
        with pytest.raises(InputError, match=r"name irnet in its pseudo_labels\.refine"):
            step()
