"""Tables of a dataset come back as the records they were."""

from pathlib import Path

import pytest

from pipeline.datasets import (
    read_expressions,
    read_images,
    read_objects,
    read_refer,
    read_truth,
    write_tables,
)
from pipeline.records import Expression
from pipeline.safety import InputError
from pipeline.store import read_manifest

from .conftest import Refer, options


@pytest.fixture
def folder(refer: Refer, tmp_path: Path) -> Path:
    tables = read_refer(refer.write(), dataset="toy", options=options("unc"))
    write_tables(tmp_path / "tables", tables, config_digest="c", inputs={"refs": "r"})
    return tmp_path / "tables"


def test_everything_comes_back_by_image(refer: Refer, folder: Path) -> None:
    tables = read_refer(refer.folder, dataset="toy", options=options("unc"))

    def by_image(rows: list) -> list:
        return sorted(rows, key=lambda row: row.image_id)

    assert read_images(folder / "images.parquet", split=None) == by_image(tables.images)
    assert read_truth(folder / "truth.parquet", split=None) == by_image(tables.truth)
    assert read_objects(folder / "objects.parquet") == by_image(tables.objects)
    assert read_expressions(folder / "expressions.parquet", split=None, text="raw") == [
        Expression("toy", s.split, s.image_id, s.ref_id, s.sent_id, s.raw)
        for s in by_image(tables.expressions)
    ]


def test_a_split_and_a_text_are_chosen(folder: Path) -> None:
    path = folder / "expressions.parquet"
    found = read_expressions(path, split="train", text="sentence")
    assert [row.text for row in found] == ["left man", "man in red"]
    assert [row.text for row in read_expressions(path, split="val", text="raw")] == ["The DOG"]
    assert read_expressions(path, split="test", text="raw") == []
    assert [row.image_id for row in read_images(folder / "images.parquet", split="val")] == [2]
    assert [row.ref_id for row in read_truth(folder / "truth.parquet", split="val")] == [5]


def test_every_table_says_what_made_it(folder: Path) -> None:
    for kind in ("expressions", "images", "truth", "objects"):
        found = read_manifest(folder / f"{kind}.parquet", kind=kind)
        assert (found.config_digest, found.inputs) == ("c", {"refs": "r"})


def test_nothing_of_the_truth_is_in_what_the_weak_path_reads(folder: Path) -> None:
    for kind in ("expressions", "images"):
        with pytest.raises(InputError, match=f"holds '{kind}', not 'truth'"):
            read_truth(folder / f"{kind}.parquet", split=None)
        data = (folder / f"{kind}.parquet").read_bytes()
        assert not any(word in data for word in (b"rle", b"box", b"category", b"area"))


def test_a_dataset_without_objects_keeps_its_columns(refer: Refer, tmp_path: Path) -> None:
    refer.refs = []
    tables = read_refer(refer.write(), dataset="toy", options=options("unc"))
    write_tables(tmp_path / "none", tables, config_digest="c", inputs={})
    assert read_truth(tmp_path / "none" / "truth.parquet", split=None) == []
    assert read_objects(tmp_path / "none" / "objects.parquet") == []
