"""A file on its way: the bytes so far, and what is known of where they came from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """Of whom the bytes are.

    validator: the strong ETag or the date that the server gave them, "" for none.
    total: of the whole file, None where it is not known.
    mixed: bytes of several answers that no validator binds together.
    """

    address: str
    validator: str
    total: int | None
    mixed: bool


class Part:
    """``<name>.part`` beside the file to be, and ``<name>.part.json``, its origin."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path = destination.with_name(f"{destination.name}.part")
        self._origin = destination.with_name(f"{destination.name}.part.json")

    @property
    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def origin(self) -> Origin | None:
        """None if there is none that can be read: then nothing can be joined to the bytes."""
        try:
            content: Any = json.loads(self._origin.read_bytes())
            return Origin(**content)
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Forget the bytes; what follows is of ``origin``."""
        self.path.unlink(missing_ok=True)  # first: old bytes must not meet a new origin
        self.describe(origin)

    def describe(self, origin: Origin) -> None:
        # Not synced to the disk: where a power cut leaves nothing to read, the file begins anew.
        partial = self._origin.with_name(f".{self._origin.name}.tmp")
        partial.write_text(json.dumps(asdict(origin)), encoding="utf-8")
        partial.replace(self._origin)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Keep the bytes, which turned out wrong, as ``<name>.bad``, and start afresh."""
        bad = self.destination.with_name(f"{self.destination.name}.bad")
        self.path.replace(bad)
        self._origin.unlink(missing_ok=True)
        return bad


def part_size(destination: Path) -> int:
    """How many bytes of a file have arrived that is not whole yet."""
    return Part(destination).size


def tidy(folder: Path) -> None:
    """Remove what a killed process left in a folder beside its parts; no other may be at work."""
    for left in (*folder.glob(".*.tmp*"), *folder.glob("*.part.json")):
        done = folder / left.name.removesuffix(".part.json")
        if left.is_file() and (left.name.startswith(".") or done.exists()):
            left.unlink()
