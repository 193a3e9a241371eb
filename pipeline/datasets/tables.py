"""The four tables of a dataset, and reading them back as records.

Expressions and images are what the weak path knows. Truth and objects lie in files of their own,
which only evaluation, the report and full supervision may open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.records import Expression, ImageRecord, ObjectRecord, Truth
from pipeline.store import read_table, write_table

Row = TypeVar("Row", bound=Truth | ObjectRecord)
BOX_COLUMNS = ("box_x", "box_y", "box_w", "box_h")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A published expression: ``raw`` as it was typed, ``sentence`` as its publisher cleaned it."""

    dataset: str
    split: str
    image_id: int
    ref_id: int
    sent_id: int
    raw: str
    sentence: str


@dataclass(frozen=True)
class DatasetTables:
    """All that a reader found. An image has one record for each split that refers to it.

    A referent whose mask is empty has no target in its image; of a referent without a row of truth
    nothing is known.
    """

    expressions: list[Sentence]
    images: list[ImageRecord]
    truth: list[Truth]
    objects: list[ObjectRecord]


def no_target_split(train: str) -> str:
    """The split of the training expressions that are known to mean nothing in their image."""
    return f"{train}_no_target"


def write_tables(
    folder: str | Path, tables: DatasetTables, *, config_digest: str, inputs: Mapping[str, str]
) -> None:
    """Writes ``expressions``, ``images``, ``truth`` and ``objects.parquet``, each atomically."""
    for table in fields(tables):
        row, rows = _ROWS[table.name], getattr(tables, table.name)
        columns = {
            field.name: [getattr(item, field.name) for item in rows]
            for field in fields(row)
            if field.name != "box"
        }
        if row in (Truth, ObjectRecord):
            for index, name in enumerate(BOX_COLUMNS):
                columns[name] = [item.box[index] for item in rows]
        path = Path(folder) / f"{table.name}.parquet"
        write_table(path, columns, kind=table.name, config_digest=config_digest, inputs=inputs)


_ROWS: dict[str, type] = {
    "expressions": Sentence,
    "images": ImageRecord,
    "truth": Truth,
    "objects": ObjectRecord,
}


def _rows(path: str | Path, kind: str, split: str | None, columns: Iterable[str]) -> Iterable[Any]:
    filters = None if split is None else [("split", "==", split)]
    table = read_table(path, kind=kind, columns=list(columns), filters=filters)
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def read_expressions(
    path: str | Path, *, split: str | None, text: Literal["raw", "sentence"]
) -> list[Expression]:
    """The expressions of a split (None: of all), by image_id; ``text`` picks what methods see."""
    keys = ("dataset", "split", "image_id", "ref_id", "sent_id", text)
    return [Expression(*row) for row in _rows(path, "expressions", split, keys)]


def read_images(path: str | Path, *, split: str | None) -> list[ImageRecord]:
    """The images of a split, by image_id. Of all splits (None) an image may come several times."""
    names = [field.name for field in fields(ImageRecord)]
    return [ImageRecord(*row) for row in _rows(path, "images", split, names)]


def read_truth(path: str | Path, *, split: str | None) -> list[Truth]:
    """The annotated masks of a split's referents (None: of all), by image_id."""
    return _boxed(Truth, path, "truth", split)


def read_objects(path: str | Path) -> list[ObjectRecord]:
    """All annotated objects of all images, by image_id."""
    return _boxed(ObjectRecord, path, "objects", None)


def _boxed(record: type[Row], path: str | Path, kind: str, split: str | None) -> list[Row]:
    """Records of a type with a ``box``, which lies in four columns."""
    names = [field.name for field in fields(record) if field.name != "box"]
    rows = _rows(path, kind, split, [*names, *BOX_COLUMNS])
    return [record(**dict(zip(names, row, strict=False)), box=row[len(names) :]) for row in rows]
