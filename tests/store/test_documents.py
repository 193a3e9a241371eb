"""JSON that is none is named; digests depend on values only."""

import json
from pathlib import Path

import pytest

from pipeline.safety import InputError
from pipeline.store import (
    digest_file,
    digest_of,
    read_json,
    write_json,
)


def contents(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_json_that_is_none_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    for data in (b"{", b"\xff\xfe", b"[" * 100_000, b""):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.json"):
            read_json(path)
    with pytest.raises(InputError, match="none"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="none"):
        digest_file(tmp_path / "none.json")


def test_json_refuses_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"iou": float("nan")})
    assert contents(tmp_path) == []


def test_a_digest_depends_on_values_only() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert len(digest_of({})) == 16


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_json_is_written_as_people_read_it(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": "ü", "a": 1})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "b": "ü",\n  "a": 1\n}\n' and json.loads(text)
