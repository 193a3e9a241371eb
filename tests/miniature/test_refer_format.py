"""The files written are REFER's, hold the truth, and do not depend on the number of processes."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from pipeline.miniature import MiniatureSettings, SplitSizes, example_of, refer_format, write_refer

# sha256 of refs(unc).p and instances.json of the tiny dataset below.
GOLDEN = (
    "3525ab74f6ca78e761dd81d0d443d0559d8a7f3b39198a94414106e038a7959a",
    "534398d66df660093792c810eef7f146b70b486645f94c3bd1d12621a72bc558",
)


@pytest.fixture(scope="module")
def tiny(settings: MiniatureSettings) -> MiniatureSettings:
    return replace(settings, splits=SplitSizes(train=12, val=3, testA=3, testB=6))


@pytest.fixture(scope="module")
def folder(tiny: MiniatureSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refer") / "miniature"
    write_refer(path, tiny, processes=1)
    return path


class _NoGlobals(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise AssertionError(f"{module_name}.{global_name} in a file that must hold plain types")


def _read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    refs = _NoGlobals(io.BytesIO((folder / "refs(unc).p").read_bytes())).load()
    return refs, json.loads((folder / "instances.json").read_text())


def _decode(segmentation: Any, height: int, width: int) -> np.ndarray[Any, Any]:
    if isinstance(segmentation, list):
        parts = coco_mask.decode(coco_mask.frPyObjects(segmentation, height, width))
        return np.asarray(parts.any(axis=-1))
    return np.asarray(coco_mask.decode(segmentation)).astype(bool)


def test_files_are_the_same_to_the_bit(folder: Path) -> None:
    names = ("refs(unc).p", "instances.json")
    found = tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names)
    assert found == GOLDEN


def test_nothing_but_refer_is_written(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["images", "instances.json", "refs(unc).p"]
    assert [p.name for p in folder.parent.iterdir()] == ["miniature"]


def test_ids_join_and_keys_are_refers(folder: Path, tiny: MiniatureSettings) -> None:
    refs, instances = _read(folder)
    annotations = {a["id"]: a for a in instances["annotations"]}
    images = {i["id"]: i for i in instances["images"]}
    assert len(images) == tiny.splits.total() == len(list((folder / "images").iterdir()))
    assert set(instances) == {"info", "images", "licenses", "annotations", "categories"}
    assert {c["id"] for c in instances["categories"]} == set(range(1, 9))
    assert len(annotations) == len(instances["annotations"])
    assert [r["ref_id"] for r in refs] == list(range(len(refs)))
    assert {r["split"] for r in refs} == {"train", "val", "testA", "testB"}
    sentence_ids = [s["sent_id"] for r in refs for s in r["sentences"]]
    assert len(set(sentence_ids)) == len(sentence_ids)
    for ref in refs:
        annotation = annotations[ref["ann_id"]]
        assert annotation["image_id"] == ref["image_id"]
        assert annotation["category_id"] == ref["category_id"]
        assert ref["sent_ids"] == [s["sent_id"] for s in ref["sentences"]]
        for sentence in ref["sentences"]:
            assert set(sentence) == {"raw", "sent", "sent_id", "tokens"}
            assert sentence["tokens"] == sentence["sent"].split()
    for image in images.values():
        with Image.open(folder / "images" / image["file_name"]) as picture:
            assert picture.format == "JPEG"
            assert picture.size == (image["width"], image["height"])


def test_annotations_decode_to_the_visible_parts(folder: Path, tiny: MiniatureSettings) -> None:
    refs, instances = _read(folder)
    kinds = set()
    for index in range(tiny.splits.total()):
        example = example_of(tiny, index)
        truth = list(example.visible)
        said = [a for a in instances["annotations"] if a["image_id"] == index + 1]
        assert len(said) == len(truth)
        matched = {}
        for annotation in said:
            kinds.add(type(annotation["segmentation"]))
            mask = _decode(annotation["segmentation"], 128, 128)
            ious = [(mask & t).sum() / (mask | t).sum() for t in truth]
            best = int(np.argmax(ious))
            matched[annotation["id"]] = best
            exact = isinstance(annotation["segmentation"], dict)
            assert ious[best] >= (1.0 if exact else 0.98)
            ys, xs = np.nonzero(truth[best])
            width, height = xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
            assert annotation["bbox"] == [xs.min(), ys.min(), width, height]
            assert annotation["area"] == truth[best].sum()
        assert sorted(matched.values()) == list(range(len(truth)))
        expected = {r.index: [s.sent for s in r.sentences] for r in example.referents}
        found = {
            matched[r["ann_id"]]: [s["sent"] for s in r["sentences"]]
            for r in refs
            if r["image_id"] == index + 1
        }
        assert found == expected
    assert kinds == {list, dict}


def test_processes_do_not_change_the_result(
    folder: Path, tiny: MiniatureSettings, tmp_path: Path
) -> None:
    write_refer(tmp_path / "two", tiny, processes=2)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file()
    )
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_broken_run_leaves_the_old_dataset(
    folder: Path, tiny: MiniatureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "instances.json").read_bytes()

    def broken(*_: Any) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(refer_format, "_assemble", broken)
    with pytest.raises(RuntimeError, match="killed"):
        write_refer(folder, tiny, processes=1)
    assert (folder / "instances.json").read_bytes() == before
    assert [p.name for p in folder.parent.iterdir()] == ["miniature"]
