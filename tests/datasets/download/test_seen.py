"""The record of what was fetched survives kills, and tells when it is damaged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.datasets.download.seen import Seen, Sighting
from pipeline.safety import InputError

FIRST = Sighting("a/b", 3, "12", "https://example.org")
SECOND = Sighting("a/c", 4, "34", "https://example.org")


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    seen = Seen(tmp_path / "seen.jsonl")
    seen.add(FIRST)
    seen.add(SECOND)
    seen.add(FIRST)
    again = Seen(tmp_path / "seen.jsonl")
    assert (again.get("a/b"), again.get("a/c"), again.get("a")) == (FIRST, SECOND, None)
    assert len((tmp_path / "seen.jsonl").read_text().splitlines()) == 2


def test_a_torn_last_line_is_as_if_never_written(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    Seen(path).add(FIRST)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole + whole[:cut])
        Seen(path).add(SECOND)
        again = Seen(path)
        assert (again.get("a/b"), again.get("a/c")) == (FIRST, SECOND)


def test_damage_elsewhere_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    Seen(path).add(FIRST)
    for wrong in ("{", "[]", '{"file": "x"}'):
        path.write_text(path.read_text().splitlines()[0] + f"\n{wrong}\n")
        with pytest.raises(InputError, match=r"seen\.jsonl: line 2 is damaged"):
            Seen(path)


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    seen = Seen(path)
    sightings = [Sighting(f"a/{n}", n, "0" * 64, "x") for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(seen.add, sightings))
    again = Seen(path)
    assert [again.get(s.file) for s in sightings] == sightings
