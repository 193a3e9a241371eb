"""A table made part by part: what a killed job has finished is not made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from pipeline.store import is_current, read_table, table_writer

T = TypeVar("T")
PART = 64  # items, each a few hundredths of a second (superpixels) to seconds (a large SAM)


def write_in_parts(
    path: Path,
    items: Sequence[T],
    rows_of: Callable[[T], Mapping[str, Sequence[Any]]],
    *,
    kind: str,
    config_digest: str,
    parts: Path,
    title: str,
    unit: str,
) -> None:
    """Write a table of the rows of all items, in their order, with a progress bar.

    Args:
        rows_of: the rows of an item, as columns; depends on the item alone.
        parts: a folder for what is finished so far, removed at the end. Its name must change with
            whatever changes the rows.
    """
    firsts = range(0, len(items), PART)
    with tqdm(total=len(items), desc=title, unit=unit, mininterval=1.0) as bar:
        for first in firsts:
            part = _part(parts, first)
            mine = items[first : first + PART]
            if is_current(part, kind=kind, config_digest=config_digest, inputs={}):
                bar.update(len(mine))
                bar.initial = bar.n  # the speed is that of what is made now
                continue
            made = []
            for item in mine:
                made.append(rows_of(item))
                bar.update()
            with table_writer(part, kind=kind, config_digest=config_digest) as writer:
                for rows in made:
                    writer.append(rows)
    with table_writer(path, kind=kind, config_digest=config_digest) as writer:
        for first in firsts:
            writer.append(read_table(_part(parts, first), kind=kind).to_pydict())
    shutil.rmtree(parts, ignore_errors=True)


def _part(parts: Path, first: int) -> Path:
    return parts / f"from-{first:07d}.parquet"
