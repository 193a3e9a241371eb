"""What has been fetched, and with which content: the record of a download folder.

Of many files nobody has published a hash. Such a file is written down when it is first seen, and a
later copy that differs is refused. One JSON object a line, added at the end, so that a kill can
only tear the last line, which the next to add one takes away.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.safety import InputError


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it was when its content was checked. ``address`` is where it came from."""

    file: str
    bytes: int
    sha256: str
    address: str


class Seen:
    """The record at ``path``; safe to share by threads, for one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._found: dict[str, Sighting] = {}
        self._mended = False
        if path.is_file():
            self._read()

    def _read(self) -> None:
        data = self.path.read_bytes()
        whole = data.rpartition(b"\n")[0]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                sighting = Sighting(**json.loads(line))
            except (ValueError, TypeError):
                raise InputError(
                    f"{self.path}: line {number} is damaged; remove that line (the file that it "
                    "is about is then taken as it comes, once)"
                ) from None
            self._found[sighting.file] = sighting

    def get(self, file: str) -> Sighting | None:
        return self._found.get(file)

    def add(self, sighting: Sighting) -> None:
        """Write down a file; on disk before this returns. The same again is not written twice."""
        line = json.dumps(asdict(sighting), ensure_ascii=False) + "\n"
        with self._guard:
            if self._found.get(sighting.file) == sighting:
                return
            with open(self.path, "ab") as file:
                if not self._mended:
                    file.truncate(self.path.read_bytes().rfind(b"\n") + 1)
                    self._mended = True
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            self._found[sighting.file] = sighting
