"""Parquet tables: their columns, and the writer.

A table is one parquet file: zstd, row groups of at most 512 rows, sorted by ``image_id`` where it
has one, so that the rows of one image are a short read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.atomic import atomic_path
from pipeline.store.manifest import (
    CHECKSUM_KEY,
    MANIFEST_KEY,
    SCHEMA_VERSION,
    UNSIGNED,
    Manifest,
    sign,
)

ROW_GROUP = 512  # one image's rows stay a short read, and columns still compress
Columns = Mapping[str, Sequence[Any] | np.ndarray]


def _columns(words: str) -> dict[str, pa.DataType]:
    types = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.binary()}
    types["l"] = pa.list_(pa.string())
    return {name: types[letter] for name, letter in (word.split(":") for word in words.split())}


_REFERENT = "dataset:s split:s image_id:i ref_id:i"
_EXPRESSION = f"{_REFERENT} sent_id:i"
_MASK = "rle:b height:i width:i"
_BOX = "box_x:f box_y:f box_w:f box_h:f"
SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "expressions": _columns(f"{_EXPRESSION} raw:s sentence:s"),
    "images": _columns("dataset:s split:s image_id:i file:s height:i width:i"),
    "truth": _columns(f"{_REFERENT} category:s {_MASK} {_BOX} area:i"),
    "objects": _columns(f"dataset:s image_id:i ann_id:i category:s {_MASK} {_BOX}"),
    "cues": _columns(f"{_EXPRESSION} cues:l source:s made:i dropped:i"),
    "proposals": _columns(f"dataset:s image_id:i rank:i {_MASK} area:i score:f"),
    "responses": _columns(f"{_EXPRESSION} height:i width:i map:b"),
    "irnet_labels": _columns("dataset:s split:s image_id:i height:i width:i labels:b"),
    "pseudo_labels": _columns(f"{_EXPRESSION} {_MASK} source:s score:f"),
    "predictions": _columns(f"{_EXPRESSION} {_MASK} score:f peak_x:f peak_y:f"),
}
"""The columns that a table of each kind must have; it may have more, and other kinds may exist."""


def _array(values: Sequence[Any] | np.ndarray, wanted: pa.DataType | None) -> pa.Array:
    """``values`` as a column of type ``wanted``; numbers convert only where none is changed."""
    array = pa.array(values)  # with a type, pyarrow would cut fractions off without a word
    if wanted is None or array.type == wanted:
        return array
    numbers = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in (array.type, wanted))
    if numbers or pa.types.is_null(array.type):
        return array.cast(wanted)
    raise TypeError(f"must be {wanted}, not {array.type}")


class TableWriter:
    """Appends rows to a table in flat memory; made by :func:`table_writer`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._path = path
        self._manifest = manifest
        self._types = dict(SCHEMAS.get(manifest.kind, {}))
        self._required = list(self._types)
        self._schema: pa.Schema | None = None
        self._file: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._rows = 0
        self._last_image: int | None = None

    def append(self, columns: Columns) -> None:
        """Adds rows, given as columns of one length, sorted by ``image_id`` across all calls.

        Values become the column's type (of ``SCHEMAS``, else of the first batch). ValueError names
        a column that is missing, has nulls, or does not convert without loss.
        """
        table = self._table(columns)
        self._check_order(table)
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        self._rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP:
            self._write(self._waiting_rows // ROW_GROUP * ROW_GROUP)

    def _table(self, columns: Columns) -> pa.Table:
        kind = self._manifest.kind
        if missing := [name for name in self._required if name not in columns]:
            raise ValueError(f"{kind}: no column {', '.join(missing)}")
        arrays = {}
        for name, values in columns.items():
            try:
                arrays[name] = _array(values, self._types.get(name))
            except (pa.ArrowException, TypeError, OverflowError) as error:
                raise ValueError(f"{kind}.{name}: {error}") from error
            if arrays[name].null_count or pa.types.is_null(arrays[name].type):
                raise ValueError(f"{kind}.{name}: has missing values, or none at all")
        if len({len(array) for array in arrays.values()}) > 1:
            lengths = {name: len(array) for name, array in arrays.items()}
            raise ValueError(f"{kind}: columns of different lengths {lengths}")
        table = pa.table(arrays)
        if self._schema is None:
            self._schema = table.schema
            self._types = dict(zip(table.schema.names, table.schema.types, strict=True))
        if set(table.schema.names) != set(self._schema.names):
            raise ValueError(f"{kind}: columns {table.schema.names}, not {self._schema.names}")
        return table.select(self._schema.names)

    def _check_order(self, table: pa.Table) -> None:
        if "image_id" not in table.column_names or not table.num_rows:
            return
        ids = table["image_id"].to_numpy()
        before = ids[0] if self._last_image is None else self._last_image
        if np.any(np.diff(ids, prepend=before) < 0):
            raise ValueError(f"{self._manifest.kind}: rows must be sorted by image_id")
        self._last_image = int(ids[-1])

    def _write(self, rows: int) -> None:
        """Writes the first ``rows`` of the waiting rows as row groups; the rest waits on."""
        assert self._schema is not None
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        table = pa.concat_tables([self._schema.empty_table(), *self._waiting])
        self._file.write_table(table.slice(0, rows), row_group_size=ROW_GROUP)
        self._waiting, self._waiting_rows = [table.slice(rows)], self._waiting_rows - rows

    def finish(self) -> None:
        """Writes what waits, the manifest and the checksum."""
        if self._schema is None:
            if not self._types:
                raise ValueError(f"{self._manifest.kind}: no rows, so no columns")
            self._schema = pa.schema(list(self._types.items()))
        self._write(self._waiting_rows)
        assert self._file is not None
        manifest = replace(self._manifest, rows=self._rows)
        self._file.add_key_value_metadata(
            {MANIFEST_KEY: manifest.to_bytes(), CHECKSUM_KEY: UNSIGNED}
        )
        self.close()
        sign(self._path)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextmanager
def table_writer(
    path: str | Path, *, kind: str, config_digest: str, inputs: Mapping[str, str] | None = None
) -> Iterator[TableWriter]:
    """A :class:`TableWriter` whose table appears under ``path``, whole, when the block ends.

    ``inputs`` maps the name of each input to its digest. On an error no file is left.

    >>> with table_writer(path, kind="proposals", config_digest=digest) as writer:
    ...     writer.append({"dataset": ["toy"], "image_id": [7], ...})
    """
    manifest = Manifest(kind, SCHEMA_VERSION, config_digest, dict(inputs or {}), 0)
    with atomic_path(path) as temporary:
        writer = TableWriter(temporary, manifest)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()


def write_table(
    path: str | Path,
    columns: Columns,
    *,
    kind: str,
    config_digest: str,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Writes a whole table atomically, its rows sorted by ``image_id`` (stable) if it has one."""
    order = None
    if "image_id" in columns:
        ids = np.asarray(columns["image_id"], dtype=np.int64)
        if np.any(np.diff(ids) < 0):
            order = np.argsort(ids, kind="stable")
    with table_writer(path, kind=kind, config_digest=config_digest, inputs=inputs) as writer:
        if order is not None:
            columns = {
                name: values[order]
                if isinstance(values, np.ndarray)
                else [values[index] for index in order]
                for name, values in columns.items()
            }
        writer.append(columns)
