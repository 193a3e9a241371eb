"""One writer a run, who leaves nothing in its folder that no later attempt could go on from."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.safety import InputError


@contextmanager
def only_writer(folder: Path, key: str) -> Iterator[None]:
    """Keep other processes from training the run ``key``, whose files ``folder`` holds.

    A job that outlived its workflow must not meet its own successor. The lock is the system's, who
    lets go of it when the process ends, however it ends. What a killed writer had not renamed yet
    is removed first. Where there is no checkpoint (``last-KEY.ckpt``) at the end, good or bad, the
    run's other files are of no use and go as well, and so does an empty folder.

    Raises:
        InputError: another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(folder / f"lock-{key}"):
            _remove(folder, f".*-{key}.*.tmp.*")
            try:
                yield
            finally:
                if not (folder / f"last-{key}.ckpt").exists():
                    _remove(folder, f"*-{key}.*")
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{path}: process {file.read().strip() or 'unknown'} is training this very run; "
                "wait for it, or stop it and start again"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()
