"""A table comes back as it was, or is refused by name."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.safety import InputError
from pipeline.store import (
    TableReader,
    is_current,
    read_manifest,
    read_table,
    rle_encode,
    table_writer,
    write_table,
)
from pipeline.store import manifest as manifest_module


def proposals(image_ids: list[int]) -> dict[str, list]:
    count = len(image_ids)
    return {
        "dataset": ["toy"] * count,
        "image_id": image_ids,
        "rank": list(range(count)),
        "rle": [rle_encode(np.eye(3, dtype=bool))] * count,
        "height": [3] * count,
        "width": [3] * count,
        "area": [3] * count,
        "score": [0.5] * count,
    }


def write(path: Path, image_ids: list[int], **other: object) -> None:
    options: dict = {"kind": "proposals", "config_digest": "c", "inputs": {"images": "i"}}
    write_table(path, proposals(image_ids), **(options | other))


def contents(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_table_comes_back_with_its_manifest(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [1, 1, 2])
    found = read_manifest(path, kind="proposals")
    assert (found.kind, found.config_digest, found.inputs, found.rows) == (
        *("proposals", "c", {"images": "i"}),
        3,
    )
    assert read_table(path, kind="proposals").to_pydict() == proposals([1, 1, 2])


def test_rows_are_sorted_by_image_and_otherwise_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [5, 2, 5, 2, 1])
    table = read_table(path, kind="proposals", columns=["image_id", "rank"])
    assert table.to_pydict() == {"image_id": [1, 2, 2, 5, 5], "rank": [4, 1, 3, 0, 2]}


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, [1, 2, 3] * 400)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_filters_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [image for image in range(400) for _ in range(5)])
    some = read_table(
        path, kind="proposals", columns=["rank"], filters=[("image_id", "in", [3, 399])]
    )
    assert some.to_pydict() == {"rank": [*range(15, 20), *range(1995, 2000)]}
    with pytest.raises(InputError, match="no column nothing"):
        read_table(path, kind="proposals", columns=["nothing"])
    with pytest.raises(InputError, match="no column nothing"):
        read_table(path, kind="proposals", filters=[("nothing", "==", 1)])


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [])
    assert read_table(path, kind="proposals").num_rows == 0
    assert list(TableReader(path, kind="proposals").images()) == []
    assert TableReader(path, kind="proposals").image(1).num_rows == 0
    with table_writer(path, kind="proposals", config_digest="c"):
        pass
    assert "rle" in read_table(path, kind="proposals").column_names


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 700), max_size=8), batch=st.integers(1, 900))
def test_images_come_back_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], batch: int
) -> None:
    """Whatever the row groups and batches cut through."""
    path = tmp_path_factory.mktemp("images") / "p.parquet"
    ids = [image for image, count in enumerate(counts) for _ in range(count)]
    rows = proposals(ids)
    with table_writer(path, kind="proposals", config_digest="c") as writer:
        for start in range(0, len(ids), batch):
            writer.append({name: values[start : start + batch] for name, values in rows.items()})
    whole = read_table(path, kind="proposals")
    assert whole.to_pydict() == rows
    with TableReader(path, kind="proposals") as reader:
        found = {image: table["rank"].to_pylist() for image, table in reader.images()}
        assert list(found) == [image for image, count in enumerate(counts) if count]
        for image in range(-1, len(counts) + 1):
            wanted = [rank for rank, other in enumerate(ids) if other == image]
            assert reader.image(image, columns=["rank"])["rank"].to_pylist() == wanted
            assert found.get(image, []) == wanted
    metadata = pq.read_metadata(path)
    assert all(metadata.row_group(i).num_rows <= 512 for i in range(metadata.num_row_groups))


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(0, 700), max_size=8),
    only=st.sets(st.integers(-1, 8)),
)
def test_wanted_images_come_back_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], only: set[int]
) -> None:
    """Also where the row groups of others between them are passed over."""
    path = tmp_path_factory.mktemp("only") / "p.parquet"
    write(path, [image for image, count in enumerate(counts) for _ in range(count)])
    with TableReader(path, kind="proposals") as reader:
        everything = dict(reader.images())
        found = dict(reader.images(only=only))
    assert list(found) == [image for image in everything if image in only]
    assert all(table.equals(everything[image]) for image, table in found.items())


def test_row_groups_without_wanted_images_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.parquet"
    write(path, [image for image in range(1000) for _ in range(10)])
    read: list[int] = []
    original = pq.ParquetFile.read_row_group

    def noted(self: pq.ParquetFile, group: int, **settings: object) -> object:
        read.append(group)
        return original(self, group, **settings)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    with TableReader(path, kind="proposals") as reader:
        assert [image for image, _ in reader.images(only={3, 998})] == [3, 998]
    assert read == [0, 19]


def test_one_image_reads_only_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.parquet"
    write(path, [image for image in range(1000) for _ in range(10)])
    read: list[list[int]] = []
    original = pq.ParquetFile.read_row_groups

    def counted(self: pq.ParquetFile, groups: list[int], **options: object) -> object:
        read.append(groups)
        return original(self, groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", counted)
    with TableReader(path, kind="proposals") as reader:
        assert reader.image(500).num_rows == 10
    assert [len(groups) for groups in read] == [1]


def test_a_failed_writer_leaves_no_table(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        table_writer(tmp_path / "p.parquet", kind="proposals", config_digest="c") as writer,
    ):
        writer.append(proposals([1] * 600))
        raise RuntimeError
    assert contents(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": None}, "no column rank"),
        ({"rank": ["first", "second"]}, r"proposals\.rank"),
        ({"rank": [0.5, 1.0]}, r"proposals\.rank"),
        ({"rank": [2**70, 1]}, r"proposals\.rank"),
        ({"score": ["0.5", "1"]}, r"proposals\.score: must be double, not string"),
        ({"rank": [None, 1]}, "missing values"),
        ({"rank": [1]}, "different lengths"),
        ({"image_id": [2, 1]}, "sorted by image_id"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, change: dict, message: str) -> None:
    rows = {name: v for name, v in (proposals([1, 2]) | change).items() if v is not None}
    with (
        pytest.raises(ValueError, match=message),
        table_writer(tmp_path / "p.parquet", kind="proposals", config_digest="c") as writer,
    ):
        writer.append(rows)
    assert contents(tmp_path) == []


def test_a_table_of_another_kind_or_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.parquet"
    write(path, [1], kind="somethings")
    with pytest.raises(
        InputError, match=r"p\.parquet: holds 'somethings', not 'proposals'.*delete"
    ):
        read_table(path, kind="proposals")
    for version, age in ((2, "newer"), (0, "older")):
        with monkeypatch.context() as patch:
            patch.setattr("pipeline.store.writing.SCHEMA_VERSION", version)
            write(path, [1])
        with pytest.raises(InputError, match=rf"p\.parquet: written by an? {age}.*delete it"):
            read_table(path, kind="proposals")


def test_a_table_that_lies_about_its_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.parquet"
    with monkeypatch.context() as patch:
        replace = manifest_module.Manifest.to_bytes
        patch.setattr(
            manifest_module.Manifest,
            "to_bytes",
            lambda self: replace(self).replace(b'"rows": 2', b'"rows": 3'),
        )
        write(path, [1, 2])
    with pytest.raises(InputError, match=r"2 rows, its manifest says 3; delete"):
        read_table(path, kind="proposals")


def test_a_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [1, 2])
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("PAR1 this is no table PAR1")
    for name in ("other.parquet", "text.parquet"):
        with pytest.raises(InputError, match=rf"{name}: .*delete it"):
            read_table(tmp_path / name, kind="proposals")
    with pytest.raises(InputError, match=r"none\.parquet: no such file; run"):
        read_table(tmp_path / "none.parquet", kind="proposals")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path, kind="proposals")


def test_truncated_tables_and_flipped_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write(path, [1, 2])
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [data[:length] for length in (0, 11, len(data) - 1, *rng.integers(0, len(data), 30))]
    places = [*rng.integers(0, len(data), 240), *range(len(data) - 40, len(data))]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(InputError, match=r"p\.parquet: .*delete it and rerun"):
            read_table(path, kind="proposals")


def test_a_table_is_current_for_its_own_config_and_inputs_only(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    same = {"kind": "proposals", "config_digest": "c", "inputs": {"images": "i"}}
    assert not is_current(path, **same)
    write(path, [1])
    assert is_current(path, **same)
    assert not is_current(path, **(same | {"config_digest": "d"}))
    assert not is_current(path, **(same | {"inputs": {"images": "j"}}))
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_current(path, **same)
