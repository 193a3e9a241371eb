"""Room on the disk, asked for before anything is fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.safety import InputError


class DiskError(InputError):
    """No room, or no right to write: no other mirror and no later attempt can help."""


def check_room(folder: Path, needed: int, *, keep_free: int) -> None:
    """``DiskError`` if ``needed`` bytes more would leave less than ``keep_free`` on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed + keep_free > free:
        raise DiskError(
            f"{folder}: {needed / 1e9:.2f} GB are needed and {keep_free / 1e9:.2f} GB are to stay "
            f"free, but the disk has only {free / 1e9:.2f} GB; make room, set download.folder to "
            "another disk, or fetch less (download.images: needed, dataset.sample)"
        )
