"""A table made part by part: killed, damaged, changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.steps.parts import PART, write_in_parts
from pipeline.store import read_table

COUNT = 2 * PART + 5


class KilledError(Exception):
    pass


def rows(made: list[int], *, dies_at: int | None = None) -> Callable[[int], dict[str, list[Any]]]:
    """Rows of an item: none, one or two. Dies, as a killed job does, at one of them."""

    def of(item: int) -> dict[str, list[Any]]:
        if item == dies_at:
            raise KilledError
        made.append(item)
        count = item % 3
        return {
            "dataset": ["toy"] * count,
            "image_id": [item] * count,
            "rank": list(range(count)),
            "rle": [b"04"] * count,
            "height": [2] * count,
            "width": [2] * count,
            "area": [4] * count,
            "score": [0.5] * count,
        }

    return of


def write(
    folder: Path,
    made: list[int],
    *,
    dies_at: int | None = None,
    digest: str = "0",
    count: int = COUNT,
) -> Path:
    path = folder / "table.parquet"
    write_in_parts(
        path,
        range(count),
        rows(made, dies_at=dies_at),
        kind="proposals",
        config_digest=digest,
        parts=folder / "parts",
        title="toy",
        unit="item",
    )
    return path


@pytest.mark.parametrize("dies_at", [3, PART, PART + 1, COUNT - 1])
def test_a_killed_job_goes_on_and_ends_the_same(tmp_path: Path, dies_at: int) -> None:
    whole = write(tmp_path / "whole", [])
    made: list[int] = []
    with pytest.raises(KilledError):
        write(tmp_path / "killed", made, dies_at=dies_at)
    assert not (tmp_path / "killed" / "table.parquet").exists()
    again: list[int] = []
    path = write(tmp_path / "killed", again)
    assert again == list(range(dies_at // PART * PART, COUNT))
    assert path.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "killed" / "parts").exists()


def test_a_damaged_part_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        write(tmp_path, [], dies_at=COUNT - 1)
    first, second = sorted((tmp_path / "parts").iterdir())
    second.write_bytes(second.read_bytes()[:-40])
    again: list[int] = []
    write(tmp_path, again)
    assert again == list(range(PART, COUNT))
    assert first.name < second.name


def test_parts_of_other_settings_are_made_again(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        write(tmp_path, [], dies_at=COUNT - 1)
    again: list[int] = []
    write(tmp_path, again, digest="1")
    assert again == list(range(COUNT))


def test_nothing_to_make_is_an_empty_table(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, [], count=0), kind="proposals").num_rows == 0
