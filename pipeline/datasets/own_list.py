"""The list of your own expressions: a CSV file with a first line of names, or one JSON object a
line. Columns are those of :data:`COLUMNS`; a column whose name begins with ``_`` is passed over.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.datasets.mistakes import Mistakes
from pipeline.safety import InputError, checked_text, inside

COLUMNS: dict[str, str] = {
    "image": "the picture's file in images/",
    "expression": "the sentence",
    "referent": "which object of the picture is meant: sentences with one name share it",
    "split": "train, or one that is evaluated",
    "mask": "a picture in masks/, of the picture's size, in which the object is not black",
    "annotation": "the object's id in instances.json (COCO); several ids are one target",
}
NEEDED = ("image", "expression")
MAX_LIST_BYTES = 1 << 30
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One expression as it stands in ``line``; what is not said is None, or no annotation."""

    line: int
    image: str
    expression: str
    referent: str | None
    split: str | None
    mask: str | None
    annotations: tuple[str, ...]


def list_file(folder: Path) -> Path:
    """The one list that is there; InputError if there is none, or several."""
    names = ("expressions.csv", "expressions.jsonl")
    there = [folder / name for name in names if (folder / name).is_file()]
    if len(there) != 1:
        raise InputError(
            f"{folder}: must have {' or '.join(names)}, one of them"
            + (" (both are there)" if there else " (there is none)")
        )
    return there[0]


def read_list(path: Path, mistakes: Mistakes) -> list[OwnRow]:
    """The rows that are well-formed by themselves; the others go to ``mistakes``."""
    text = _text(path, mistakes)
    if text is None:
        return []
    rows = _from_lines(text, mistakes) if path.suffix == ".jsonl" else _from_csv(text, mistakes)
    return [row for line, values in rows if (row := _row(line, values, mistakes)) is not None]


def _text(path: Path, mistakes: Mistakes) -> str | None:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_LIST_BYTES:
        raise InputError(f"{path}: larger than {MAX_LIST_BYTES} bytes; split the dataset")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        mistakes.add(line, "is not UTF-8; save the file as UTF-8 (in Excel: CSV UTF-8)")
        return None


# -- two forms, one mapping a row ------------------------------------------------------------------


def _from_csv(text: str, mistakes: Mistakes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Every row with its first line; commas, semicolons or tabs lie between the cells."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if names is None:
                names = [cell.strip() for cell in cells]
                if not _names_are_right(names, mistakes):
                    return
            elif len(cells) > len(names):
                mistakes.add(
                    line,
                    f"has {len(cells)} cells, line 1 names {len(names)}; "
                    'put quotes around an expression with a comma in it: "left, in red"',
                )
            elif any(cell.strip() for cell in cells):
                yield line, {n: c.strip() for n, c in zip(names, cells, strict=False) if c.strip()}
            line = reader.line_num + 1
    except csv.Error as error:
        mistakes.add(line, f"is no row of CSV ({error}); what follows was not read")
    if names is None:
        mistakes.add(1, f"is missing; it must name the columns: {', '.join(NEEDED)} ...")


def _names_are_right(names: list[str], mistakes: Mistakes) -> bool:
    before = len(mistakes)
    for name in NEEDED:
        if name not in names:
            mistakes.add(1, f"names no column {name!r} ({COLUMNS[name]})")
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            mistakes.add(1, f"names the column {name!r:.50} twice")
        _check_name(name, 1, mistakes)
    return len(mistakes) == before


def _from_lines(text: str, mistakes: Mistakes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            mistakes.add(line, f"is no JSON ({error!s:.100})")
            continue
        if not isinstance(value, dict):
            mistakes.add(line, 'must be an object, as {"image": "a.jpg", "expression": "the dog"}')
            continue
        before = len(mistakes)
        for name in value:
            _check_name(name, line, mistakes)
        if len(mistakes) == before:
            yield line, {name: v for name, v in value.items() if v is not None}


def _check_name(name: str, line: int, mistakes: Mistakes) -> None:
    if name not in COLUMNS and not name.startswith("_"):
        mistakes.add(
            line,
            f"names {name!r:.50}, which is no column; known are {', '.join(COLUMNS)}; "
            "begin it with _ to have it passed over",
        )


# -- one row ---------------------------------------------------------------------------------------


def _row(line: int, values: Mapping[str, Any], mistakes: Mistakes) -> OwnRow | None:
    """None if anything is wrong with the row."""
    before = len(mistakes)
    for name in NEEDED:
        if name not in values:
            mistakes.add(line, f"has no {name}")
    found: dict[str, str | None] = {}
    for name in COLUMNS:
        value = values.get(name)
        if name == "annotation" or value is None:
            found[name] = None
            continue
        try:
            found[name] = _checked(name, value)
        except InputError as error:
            mistakes.add(line, str(error))
    annotations = _ids(values.get("annotation"))
    if annotations is None:
        mistakes.add(line, "annotation: must be an id, or several (in CSV with spaces between)")
    elif annotations and found.get("mask"):
        mistakes.add(line, "has a mask and an annotation; give one of them")
    if len(mistakes) > before or annotations is None:
        return None
    image, expression = found["image"], found["expression"]
    assert image is not None and expression is not None
    return OwnRow(
        line, image, expression, found["referent"], found["split"], found["mask"], annotations
    )


def _checked(name: str, value: Any) -> str:
    if name == "referent" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = checked_text(value, name)
    if name in ("image", "mask"):
        try:
            inside("images" if name == "image" else "masks", text)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    if name == "split" and not _SPLIT.fullmatch(text):
        raise InputError(f"split: {text!r:.50} must be one word of letters and digits")
    return text


def _ids(value: Any) -> tuple[str, ...] | None:
    """The ids of annotations, each once, as text; None if they are none."""
    if value is None:
        return ()
    items = (
        value.split() if isinstance(value, str) else value if isinstance(value, list) else [value]
    )
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
        return None
    try:
        return tuple(dict.fromkeys(str(item) for item in items))
    except ValueError:  # a number of thousands of digits
        return None
