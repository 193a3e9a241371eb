"""Response maps come back by image, and are never all in memory."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.safety import InputError
from pipeline.store import (
    map_encode,
    read_maps,
    write_maps,
)


def contents(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def keys(count: int) -> dict[str, np.ndarray | list]:
    ids = np.arange(count)
    return {
        "dataset": ["toy"] * count,
        "split": ["train"] * count,
        "image_id": ids // 3,
        "ref_id": ids,
        "sent_id": ids,
    }


def test_maps_come_back_by_image(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(4 + i % 2, 5)).astype(np.float16) for i in range(1100)]
    write_maps(path, keys(1100), iter(maps), config_digest="c", inputs={})
    found = list(read_maps(path))
    assert [columns["ref_id"] for columns, _ in found][:2] == [[0, 1, 2], [3, 4, 5]]
    back = [item for _, group in found for item in group]
    assert len(back) == 1100
    assert all(
        a.dtype == np.float16 and np.array_equal(a, b) for a, b in zip(back, maps, strict=True)
    )


def test_only_the_wanted_images_are_read(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    maps = [np.full((2, 2), i, np.float16) for i in range(2000)]
    write_maps(path, keys(2000), maps, config_digest="c")
    found = list(read_maps(path, only={0, 170, 171, 666, 5000}))
    assert [columns["image_id"][0] for columns, _ in found] == [0, 170, 171, 666]
    assert [[int(one[0, 0]) for one in group] for _, group in found] == [
        [0, 1, 2],
        [510, 511, 512],  # across two row groups
        [513, 514, 515],
        [1998, 1999],
    ]
    assert list(read_maps(path, only=set())) == []


def test_maps_are_made_as_they_are_written(tmp_path: Path) -> None:
    """At most a row group of them is alive."""
    alive = [0, 0]

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive[0] -= 1

    def made() -> object:
        for _ in range(3000):
            alive[0] += 1
            alive[1] = max(alive)
            yield np.zeros((2, 2), np.float16).view(Counted)

    write_maps(tmp_path / "r.parquet", keys(3000), made(), config_digest="c")
    assert alive[1] <= 2 * 512 + 8


@pytest.mark.parametrize("count", [2, 4])
def test_as_many_maps_as_keys(tmp_path: Path, count: int) -> None:
    maps = [np.zeros((2, 2), np.float32)] * count
    with pytest.raises(ValueError, match=r"lengths|more maps"):
        write_maps(tmp_path / "r.parquet", keys(3), maps, config_digest="c")
    assert contents(tmp_path) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_a_map_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="diverged"):
        map_encode(np.full((2, 2), value, dtype=np.float32))
