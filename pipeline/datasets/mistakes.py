"""All mistakes of a file at once, so that it is corrected once."""

from __future__ import annotations

from pathlib import Path

from pipeline.safety import InputError

SHOWN = 20  # lines of a message; more are counted


class Mistakes:
    """What is wrong with the file ``path``, by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, what: str) -> None:
        """``line`` counts from 1; 0 for what no line says."""
        self._found.append((line, what))

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """InputError with the first mistakes in the order of their lines, and how many more."""
        if not self._found:
            return
        found = sorted(self._found)
        lines = [f"  line {line}: {what}" if line else f"  {what}" for line, what in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"  and {len(found) - SHOWN:,} more")
        count = "1 mistake" if len(found) == 1 else f"{len(found):,} mistakes"
        raise InputError("\n".join([f"{self._path}: {count}", *lines]))
