"""A configured dataset is checked against what is published, and cut to what is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, check, merge
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps import check as check_step
from pipeline.steps import tables
from pipeline.steps.reading import read_dataset, sources_of
from pipeline.store import digest_file, read_manifest
from tests.datasets.published import draw_grefs
from tests.training import real


def configured(place: Path, /, **dataset: Any) -> Config:
    """gRefCOCO's form: each picture has a person on the left and a bus on the right."""
    own = {"folder": str(place / "raw"), "reader": "grefs", "evaluate": ["val"], "headline": "val"}
    content = real.config(place).model_dump()
    content["pseudo_labels"]["splits"] = [dataset.get("train", "train")]
    return check(merge(content, {"dataset": own | dataset}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw_grefs(tmp_path / "raw", {"train": 3, "val": 2, "testA": 1}).write()
    return tmp_path


def test_only_the_splits_in_use_are_kept(folder: Path) -> None:
    found = read_dataset(configured(folder).dataset)
    assert {row.split for row in found.expressions} == {"train", "train_no_target", "val"}
    with pytest.raises(InputError, match=r"has no split 'testB'; it has testA, train, "):
        read_dataset(configured(folder, evaluate=["val", "testB"]).dataset)


def test_a_published_name_must_have_the_published_counts(folder: Path) -> None:
    for name in ("grefcoco", "gRefCOCO_unc"):
        with pytest.raises(InputError, match=r"18 expressions, published are 259,859"):
            read_dataset(configured(folder, name=name).dataset)
    assert read_dataset(configured(folder, name="grefcoco_mine").dataset).truth


def test_seen_and_unseen_are_splits(folder: Path) -> None:
    """Of a picture, the person is seen and the bus is not; both together are neither."""
    splits = {"train": "train_seen", "evaluate": ["val_seen"], "headline": "val_seen"}
    found = read_dataset(configured(folder, categories="seen_and_unseen", **splits).dataset)
    assert {(row.split, row.category) for row in found.truth} == {
        ("train_seen", "person"),
        ("val_seen", "person"),
    }


def test_pictures_of_another_dataset_are_not_learned_from(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other dataset has the first two of the pictures, one of them in its test split."""
    draw_grefs(folder / "other", {"train": 1, "test": 1}).write()
    other = {"reader": "grefs", "folder": str(folder / "other"), "split_by": "unc"}
    config = configured(folder, exclude_images_of=[other | {"splits": ["test"]}])
    found = read_dataset(config.dataset)
    for split in ("train", "train_no_target"):
        assert sorted(row.image_id for row in found.images if row.split == split) == [1, 3]
    assert "excluded images: 1 of train are in test of" in capsys.readouterr().out
    assert f"{folder}/other/instances.json" in sources_of(config.dataset)
    both = configured(folder, exclude_images_of=[other | {"splits": ["train", "test"]}])
    left = read_dataset(both.dataset)
    assert [row.image_id for row in left.images if row.split == "train"] == [3]
    wrong = configured(folder, exclude_images_of=[other | {"splits": ["val"]}])
    with pytest.raises(InputError, match=r"exclude_images_of: .*other has no split 'val'; it has"):
        read_dataset(wrong.dataset)


def test_shared_pictures_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the check, of all datasets whose tables are there."""
    draw_grefs(folder / "other", {"train": 1, "val": 3}).write()
    tables.run(configured(folder, evaluate=["val", "testA"]))
    tables.run(configured(folder, name="second", folder=str(folder / "other")))
    capsys.readouterr()
    check_step.run(configured(folder))
    told = capsys.readouterr().out
    assert "shared images  second val (3 images) and tiny train (3) share 2" in told
    assert "shared images  second val (3 images) and tiny val (2) share 1" in told


def test_tables_name_the_files_of_both_datasets(folder: Path) -> None:
    draw_grefs(folder / "other", {"train": 1}).write()
    other = {"reader": "grefs", "folder": str(folder / "other"), "split_by": "unc"}
    config = configured(folder, exclude_images_of=[other | {"splits": ["train"]}])
    tables.run(config)
    inputs = read_manifest(Layout.of(config).table("truth"), kind="truth").inputs
    assert inputs == {
        "grefs(unc).json": digest_file(folder / "raw" / "grefs(unc).json"),
        "instances.json": digest_file(folder / "raw" / "instances.json"),
        f"{folder}/other/grefs(unc).json": digest_file(folder / "other" / "grefs(unc).json"),
        f"{folder}/other/instances.json": digest_file(folder / "other" / "instances.json"),
    }
