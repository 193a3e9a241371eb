"""Files and folders that appear whole or not at all.

A temporary name in the same folder, flush, fsync, rename, fsync of the folder: the content is on
disk before the name is, so that a killed writer leaves either the old state or the new one.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.safety import InputError


def lacks_space(error: BaseException | None) -> bool:
    """Whether a full disk (or quota) is behind an error, which libraries hide in their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _full(path: Path) -> InputError:
    return InputError(
        f"{path}: its disk is full; nothing was written there. Make room and start again"
    )


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` when the block ends without error.

    The block must write the file. The suffix is kept, for writers that look at it; parent folders
    are made. On an error nothing is left behind and an older ``path`` stays as it was. A full disk
    is an :class:`InputError` that names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except Exception as error:
        if lacks_space(error):
            raise _full(path) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """As :func:`atomic_path`, for a folder, which exists, empty, when the block starts.

    An older folder is moved aside just before the rename and put back if that fails; a kill between
    the two renames leaves no folder of that name, never a half-written one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    temporary = path.with_name(f".{path.name}.{token}.tmp")
    aside = path.with_name(f".{path.name}.{token}.old")
    temporary.mkdir()
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            _flush(entry)
        _flush(temporary)
        if path.exists():
            os.replace(path, aside)
        try:
            os.replace(temporary, path)
        except OSError:
            if aside.exists():
                os.replace(aside, path)
            raise
        _flush(path.parent)
    except Exception as error:
        if lacks_space(error):
            raise _full(path) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
