"""Answers on disk: whole, resumed, shared by jobs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cues.cache import AnswerCache
from pipeline.safety import InputError


def test_answers_are_there_for_the_next_job(tmp_path: Path) -> None:
    one = AnswerCache(tmp_path / "key", save_seconds=1e9)
    one.put("red star", '["star"]')
    assert not (tmp_path / "key").exists()
    one.save()
    other = AnswerCache(tmp_path / "key", save_seconds=1e9)
    assert other.get("red star") == '["star"]' and other.get("moon") is None


def test_nothing_old_is_written_again(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, save_seconds=0)
    for number in range(3):
        cache.put(f"text {number}", "[]")
    cache.save()
    assert len(list(tmp_path.glob("*.json"))) == 3
    assert all(path.stat().st_size < 40 for path in tmp_path.glob("*.json"))


def test_jobs_side_by_side_see_each_others_answers(tmp_path: Path) -> None:
    one, other = (AnswerCache(tmp_path, save_seconds=0) for _ in range(2))
    one.put("a", "1")
    assert other.get("a") is None
    other.put("b", "2")
    assert other.get("a") == "1"
    one.refresh()
    assert one.get("b") == "2"


@pytest.mark.parametrize("content", ["[]", '{"a": 1}', "{", ""])
def test_a_damaged_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"x\.json"):
        AnswerCache(tmp_path, save_seconds=1)
