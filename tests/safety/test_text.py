"""Sentences of any script are kept; names never lead out of their folder."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.safety import (
    InputError,
    checked_text,
    inside,
)


@pytest.mark.parametrize(
    "text", ["the man", "Füße", "左边的人", "الرجل", "dog 🐕‍🦺 left", "a'b\"c;<b>"]
)
def test_text_of_any_script_is_kept(text: str) -> None:
    assert checked_text(f" {text}\n", "raw") == text


def test_line_breaks_and_tabs_become_spaces() -> None:
    assert checked_text("left\tman\r\nin red\u2028", "raw") == "left man  in red"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("a\x00b", r"U\+0000"),
        ("a\x1b[31mb", r"U\+001B"),
        ("a\x7f", r"U\+007F"),
        ("a\ud800", r"U\+D800"),
        ("x" * 2001, "2001 characters"),
        (None, "must be text, not NoneType"),
        (b"bytes", "must be text, not bytes"),
    ],
)
def test_text_that_is_none_names_its_key(text: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"ref 3: raw: .*{message}|ref 3: raw: {message}"):
        checked_text(text, "ref 3: raw")


@pytest.mark.parametrize("name", ["a.jpg", "deep/a.jpg", "./a.jpg", "Füße 🙂.jpg", "a..b.jpg"])
def test_names_inside(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../../b",
        "/etc/passwd",
        "C:\\a",
        "c:a",
        "a\\b",
        "a\0b",
        "x" * 300,
        3,
    ],
)
def test_names_that_lead_out(tmp_path: Path, name: Any) -> None:
    with pytest.raises(InputError):
        inside(tmp_path, name)
