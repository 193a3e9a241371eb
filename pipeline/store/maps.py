"""Response maps: float16 little-endian bytes in a table, at the map's own resolution."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.safety import InputError
from pipeline.store.manifest import REMEDY
from pipeline.store.reading import TableReader
from pipeline.store.writing import ROW_GROUP, table_writer


def map_encode(values: np.ndarray) -> bytes:
    """The bytes of a map (h, w). InputError for NaN, or values beyond float16's +-65504."""
    if values.ndim != 2:
        raise ValueError(f"a map must be (h, w), not {values.shape}")
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(values, dtype="<f2")
    if not np.isfinite(half).all():
        raise InputError(
            "response map: not a finite float16; the weights diverged, train again (a lower "
            "learning rate helps)"
        )
    return half.tobytes()


def map_decode(data: bytes, height: int, width: int) -> np.ndarray:
    """The float16 map (height, width) of its bytes, read-only."""
    return np.frombuffer(data, dtype="<f2").reshape(height, width)


def write_maps(
    path: str | Path,
    keys: Mapping[str, Sequence[Any] | np.ndarray],
    maps: Iterable[np.ndarray],
    *,
    config_digest: str,
    inputs: Mapping[str, str] | None = None,
    kind: str = "responses",
) -> None:
    """Writes one row a map: the key columns, ``height``, ``width`` and ``map``, atomically.

    ``keys`` are columns of one length, sorted by ``image_id``; ``maps`` (h, w) come in the same
    order and may be a generator: 512 are held at a time. ValueError if there are more or fewer.
    """
    rows = len(next(iter(keys.values())))
    stream = iter(maps)
    with table_writer(path, kind=kind, config_digest=config_digest, inputs=inputs) as writer:
        for start in range(0, rows, ROW_GROUP):
            batch = list(islice(stream, min(ROW_GROUP, rows - start)))
            columns = {name: values[start : start + ROW_GROUP] for name, values in keys.items()}
            writer.append(
                {
                    **columns,
                    "height": [values.shape[0] for values in batch],
                    "width": [values.shape[1] for values in batch],
                    "map": [map_encode(values) for values in batch],
                }
            )
        if next(stream, None) is not None:
            raise ValueError(f"{kind}: more maps than keys ({rows})")


def read_maps(
    path: str | Path, *, kind: str = "responses", only: Collection[int] | None = None
) -> Iterator[tuple[dict[str, list[Any]], list[np.ndarray]]]:
    """Image after image: the key columns of its rows, and their float16 maps (h, w), read-only.

    ``only``: ids of the images that are wanted; None: all.
    """
    with TableReader(path, kind=kind) as reader:
        for image_id, table in reader.images(only=only):
            columns = table.to_pydict()
            rows = zip(*(columns.pop(name) for name in ("map", "height", "width")), strict=True)
            try:
                maps = [map_decode(data, height, width) for data, height, width in rows]
            except ValueError as error:
                raise InputError(f"{path}: map of image {image_id}: {error}; {REMEDY}") from error
            yield columns, maps
