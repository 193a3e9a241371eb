"""Names and sentences that a stranger wrote."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from pipeline.safety.errors import InputError

MAX_TEXT = 2000  # characters; the longest published expression is far shorter
_LONGEST_NAME = 255  # bytes, on every common file system
_BREAKS = str.maketrans("\t\n\r\v\f\x85\u2028\u2029", " " * 8)


def checked_text(text: object, key: str) -> str:
    """``text`` with its line breaks and tabs as spaces and its ends stripped.

    Any script and emoji are fine. InputError, naming ``key``, for what is no string, is empty or
    longer than 2000 characters, or holds control characters or halves of surrogate pairs.
    """
    if not isinstance(text, str):
        raise InputError(f"{key}: must be text, not {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise InputError(f"{key}: {len(text)} characters long; at most {MAX_TEXT} are read")
    cleaned = text.translate(_BREAKS).strip()
    if not cleaned:
        raise InputError(f"{key}: is empty; give a sentence, or remove the entry")
    for character in cleaned:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InputError(
                f"{key}: holds the control character U+{ord(character):04X}; remove it"
            )
    return cleaned


def inside(folder: str | Path, relative: str) -> Path:
    """``folder / relative``, for a name that a stranger gave and that must not lead out of it.

    InputError for an absolute name, a drive, ``..``, a backslash, a control character or an
    over-long name. Symbolic links in the folder are its owner's (a data version control links its
    cache so) and are followed: archives are unpacked without any.
    """
    if not isinstance(relative, str) or not relative:
        raise InputError(f"{relative!r:.200}: must be the name of a file in {folder}")
    parts = PurePosixPath(relative).parts
    escapes = (
        PurePosixPath(relative).is_absolute()
        or PureWindowsPath(relative).drive
        or ".." in parts
        or "\\" in relative
        or not parts
    )
    if escapes:
        raise InputError(f"{relative!r:.200}: leads out of {folder}; give a name inside of it")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in relative):
        raise InputError(f"{relative!r:.200}: holds a control character; rename the file")
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise InputError(f"{relative!r:.200}: too long for a file name; rename the file")
    return Path(folder, *parts)
