"""What the workflow reads, as links into the download folder: cheap to make and to delete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.safety import InputError
from pipeline.store import atomic_path


def show(place: Path, target: Path) -> None:
    """Make ``place`` a link to ``target``, a file or folder; the link is relative."""
    with atomic_path(place) as partial:
        partial.symlink_to(os.path.relpath(target.resolve(), place.parent.resolve()))


def show_folder(folder: Path, targets: Mapping[str, Path]) -> None:
    """Make ``folder`` hold links of these names, and nothing else.

    InputError if it holds anything but links: that is somebody's own.
    """
    if folder.is_dir():
        own = [entry for entry in folder.iterdir() if not entry.is_symlink()]
        if any(not entry.name.startswith(".snakemake") for entry in own):
            raise InputError(
                f"dataset.folder: {folder} holds {own[0].name}, which was not fetched; name "
                "another folder, or set dataset.source: folder to use this one as it is"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    place = folder.parent.resolve() / folder.name
    for name, target in targets.items():
        (partial / name).symlink_to(os.path.relpath(target.resolve(), place))
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
