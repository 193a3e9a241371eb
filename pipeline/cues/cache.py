"""Answers of a model, kept on disk as they come, so that a killed job asks none of them again.

A folder for each way of asking (its key: model, prompt, grammar and limits); in it files that are
written whole, each with some answers by expression. Jobs that run side by side add files of their
own and disturb each other never.
"""

from __future__ import annotations

import time
from pathlib import Path

from pipeline.safety import InputError
from pipeline.store import digest_of, read_json, write_json


class AnswerCache:
    """Answers by expression.

    Args:
        folder: of one way of asking.
        save_seconds: longest time that an answer is in memory alone.
    """

    def __init__(self, folder: Path, *, save_seconds: float) -> None:
        self._folder = folder
        self._save_seconds = save_seconds
        self._known: dict[str, str] = {}
        self._read: set[str] = set()
        self._new: dict[str, str] = {}
        self._saved = time.monotonic()
        self.refresh()

    def refresh(self) -> None:
        """Take in what other jobs have written since; InputError names a file of another form."""
        for path in sorted(self._folder.glob("*.json")):
            if path.name in self._read or path.name.startswith("."):
                continue
            content = read_json(path)
            if not isinstance(content, dict) or not all(
                isinstance(answer, str) for answer in content.values()
            ):
                raise InputError(f"{path}: holds no answers by expression; delete it")
            self._known |= content
            self._read.add(path.name)

    def get(self, expression: str) -> str | None:
        """The answer to an expression, None if it was not asked yet."""
        return self._known.get(expression)

    def put(self, expression: str, answer: str) -> None:
        """Keep an answer; now and then all new ones are saved, and those of other jobs read."""
        self._known[expression] = self._new[expression] = answer
        if time.monotonic() - self._saved >= self._save_seconds:
            self.save()
            self.refresh()

    def save(self) -> None:
        """Write what is in memory alone."""
        if self._new:
            name = f"{digest_of(self._new)}.json"
            write_json(self._folder / name, self._new)
            self._read.add(name)
            self._new = {}
        self._saved = time.monotonic()
