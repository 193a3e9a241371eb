"""Where the pictures of a dataset are: under the published name, or elsewhere in the folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.tables import DatasetTables
from pipeline.safety import InputError, inside

# Of RefCLEF (berkeley), and in nobody's copy of its pictures: their referents are left out.
ABSENT_PICTURES = frozenset({"19579.jpg", "17975.jpg", "19575.jpg"})


def image_folder(folder: str | Path) -> Path:
    """Where the pictures of a dataset lie (a link to the folder does as well)."""
    return Path(folder) / "images"


def with_pictures(tables: DatasetTables, folder: Path) -> DatasetTables:
    """The tables with every image's ``file`` as it lies in ``folder``.

    A picture lies under its published name or, wherever else in the folder, under the last part of
    that name, with any ending: SAIAPR's archive and TRIS's flat folder (ReferIt) are both found.
    The rows of ``ABSENT_PICTURES`` are left out.

    InputError names the first picture that is not there, or is there twice.
    """
    names = {record.image_id: record.file for record in tables.images}
    found = {key: name for key, name in names.items() if inside(folder, name).is_file()}
    rest = {key: name for key, name in sorted(names.items()) if key not in found}
    places = _by_stem(folder, {Path(name).stem for name in rest.values()}) if rest else {}
    missing = []
    for key, name in rest.items():
        candidates = places.get(Path(name).stem, [])
        exact = [place for place in candidates if Path(place).name == Path(name).name]
        candidates = exact or candidates
        if len(candidates) > 1:
            raise InputError(
                f"{inside(folder, name)}: no such picture, and {len(candidates)} others of that "
                f"name ({', '.join(sorted(candidates)[:2])}); keep one of them"
            )
        if candidates:
            found[key] = candidates[0]
        elif Path(name).name not in ABSENT_PICTURES:
            missing.append(name)
    if missing:
        raise InputError(
            f"{inside(folder, missing[0])}: no such picture ({len(missing)} of {len(names)} are "
            "missing); put or link the dataset's pictures there"
        )
    return DatasetTables(
        expressions=[row for row in tables.expressions if row.image_id in found],
        images=[
            replace(row, file=found[row.image_id]) for row in tables.images if row.image_id in found
        ],
        truth=[row for row in tables.truth if row.image_id in found],
        objects=[row for row in tables.objects if row.image_id in found],
    )


def _by_stem(folder: Path, stems: Collection[str]) -> dict[str, list[str]]:
    """The files under ``folder`` with one of these names before the ending."""
    found: dict[str, list[str]] = {}
    for place, _, files in os.walk(folder):
        for name in files:
            stem = Path(name).stem
            if stem in stems:
                relative = Path(place, name).relative_to(folder).as_posix()
                found.setdefault(stem, []).append(relative)
    return found
