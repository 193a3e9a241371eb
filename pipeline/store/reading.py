"""Reading tables back: whole, filtered, one image, or image after image in flat memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.safety import InputError
from pipeline.store.manifest import MANIFEST_KEY, REMEDY, SCHEMA_VERSION, Manifest, verify
from pipeline.store.writing import SCHEMAS

Filters = Sequence[tuple[str, str, Any]]


def read_manifest(path: str | Path, *, kind: str) -> Manifest:
    """The manifest of an undamaged table of ``kind``; InputError, with the remedy, otherwise."""
    with TableReader(path, kind=kind) as reader:
        return reader.manifest


def is_current(
    path: str | Path, *, kind: str, config_digest: str, inputs: Mapping[str, str]
) -> bool:
    """Whether ``path`` is an undamaged table made from just this config and these inputs."""
    try:
        manifest = read_manifest(path, kind=kind)
    except InputError:
        return False
    return manifest.config_digest == config_digest and manifest.inputs == dict(inputs)


def read_table(
    path: str | Path,
    *,
    kind: str,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
) -> pa.Table:
    """The rows for which every filter ``(column, operator, value)`` holds; of ``columns`` or all.

    Operators are pyarrow's: ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``not in``.
    InputError, naming the file and the remedy, for a file that is missing, damaged, of another kind
    or another schema version, or lacks a column.
    """
    with TableReader(path, kind=kind) as reader:
        return reader.read(columns=columns, filters=filters)


class TableReader:
    """An open table, verified once; for many reads of one image's rows. Also a context manager.

    ``manifest`` is the table's; errors are as for :func:`read_table`. The whole file is read once
    at opening (2 GB/s), afterwards only the row groups that a call needs.
    """

    def __init__(self, path: str | Path, *, kind: str) -> None:
        self._path = Path(path)
        verify(self._path)
        try:
            self._file = pq.ParquetFile(self._path, pre_buffer=False)
            metadata = self._file.metadata
            self.manifest = Manifest.from_bytes(metadata.metadata[MANIFEST_KEY])
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no table of this pipeline ({error}); {REMEDY}") from error
        try:
            self._check(kind, metadata.num_rows)
        except InputError:
            self.close()
            raise
        self._first, self._last = self._image_ranges()

    def _check(self, kind: str, rows: int) -> None:
        found = self.manifest
        if found.kind != kind:
            raise InputError(f"{self._path}: holds {found.kind!r}, not {kind!r}; {REMEDY}")
        if found.schema_version != SCHEMA_VERSION:
            age = "a newer" if found.schema_version > SCHEMA_VERSION else "an older"
            raise InputError(
                f"{self._path}: written by {age} version of the pipeline (schema "
                f"{found.schema_version}, this one reads {SCHEMA_VERSION}); {REMEDY}"
            )
        if found.rows != rows:
            raise InputError(f"{self._path}: {rows} rows, its manifest says {found.rows}; {REMEDY}")
        names = self._file.schema_arrow.names
        if missing := [name for name in SCHEMAS.get(kind, {}) if name not in names]:
            raise InputError(f"{self._path}: no column {', '.join(missing)}; {REMEDY}")

    def _image_ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last image_id of every row group, from the footer's statistics."""
        names = self._file.schema_arrow.names
        if "image_id" not in names:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        index, metadata = names.index("image_id"), self._file.metadata
        groups = [
            metadata.row_group(group).column(index).statistics
            for group in range(metadata.num_row_groups)
            if metadata.row_group(group).num_rows
        ]
        first = np.array([statistics.min for statistics in groups], dtype=np.int64)
        last = np.array([statistics.max for statistics in groups], dtype=np.int64)
        return first, last

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        names: list[str] = self._file.schema_arrow.names
        if columns is None:
            return names
        if missing := [name for name in columns if name not in names]:
            raise InputError(f"{self._path}: no column {', '.join(missing)} (it has {names})")
        return list(columns)

    def read(
        self, *, columns: Sequence[str] | None = None, filters: Filters | None = None
    ) -> pa.Table:
        """As :func:`read_table`."""
        wanted = self._known(columns)
        if not filters:
            return self._file.read(columns=wanted, use_threads=False)
        self._known([name for name, _, _ in filters])
        needed = [*wanted, *(name for name, _, _ in filters if name not in wanted)]
        keep = pq.filters_to_expression([list(filters)])
        parts = [
            self._file.read_row_group(group, columns=needed, use_threads=False)
            .filter(keep)
            .select(wanted)
            for group in range(self._file.num_row_groups)
        ]
        return pa.concat_tables(parts)

    def image(self, image_id: int, *, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one image (none if it has none); reads only the row groups that hold it."""
        wanted = self._known(columns)
        needed = wanted if "image_id" in wanted else [*wanted, "image_id"]
        start = int(np.searchsorted(self._last, image_id, side="left"))
        stop = int(np.searchsorted(self._first, image_id, side="right"))
        groups = list(range(start, max(start, stop)))
        table = self._file.read_row_groups(groups, columns=needed, use_threads=False)
        return table.filter(pc.equal(table["image_id"], image_id)).select(wanted)

    def images(
        self, *, columns: Sequence[str] | None = None, only: Collection[int] | None = None
    ) -> Iterator[tuple[int, pa.Table]]:
        """Each image's id and rows, by rising id; holds one row group and one image at a time.

        ``only``: ids of the images that are wanted (None: all); row groups without any are not
        read.
        """
        wanted = self._known(columns)
        needed = wanted if "image_id" in wanted else [*wanted, "image_id"]
        keep = None if only is None else frozenset(only)
        held: pa.Table | None = None
        for group in self._groups_of(keep):
            table = self._file.read_row_group(group, columns=needed, use_threads=False)
            held = table if held is None else pa.concat_tables([held, table])
            ids = held["image_id"].to_numpy()
            starts = np.flatnonzero(np.diff(ids)) + 1
            begin = 0
            for end in starts:
                if keep is None or int(ids[begin]) in keep:
                    yield int(ids[begin]), held.slice(begin, end - begin).select(wanted)
                begin = int(end)
            held = held.slice(begin)
        if held is not None and held.num_rows:
            last = int(held["image_id"][0].as_py())
            if keep is None or last in keep:
                yield last, held.select(wanted)

    def _groups_of(self, images: frozenset[int] | None) -> list[int]:
        """Row groups that may hold one of the images; None: all of them."""
        if images is None:
            return list(range(self._file.num_row_groups))
        ids = np.array(sorted(images), dtype=np.int64)
        before = np.searchsorted(ids, self._first, side="left")
        within = np.searchsorted(ids, self._last, side="right") - before
        return [int(group) for group in np.flatnonzero(within)]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TableReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
