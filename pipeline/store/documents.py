"""JSON files and digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.safety import InputError
from pipeline.store.atomic import atomic_path


def write_json(path: str | Path, value: Any) -> None:
    """Writes ``value`` atomically, in its own key order. NaN and infinity are a ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """The value of a JSON file. InputError names a file that cannot be read or is no JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); get or make it again") from error


def digest_of(value: Any) -> str:
    """16 hex digits of the sha256 of ``value`` as canonical JSON (key order does not matter)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_file(path: str | Path) -> str:
    """The sha256 of a file's bytes, 64 hex digits. InputError names a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
