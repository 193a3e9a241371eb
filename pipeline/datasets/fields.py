"""Records that a stranger wrote: every key is checked and typed before it is used.

An InputError names the file, the record and the key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pipeline.safety import InputError, checked_text

_INT64 = 1 << 63


class Fields:
    """A mapping with a name: ``where`` says which record of which file it is."""

    def __init__(self, value: Any, where: str) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise InputError(f"{where}: must be a mapping, not {type(value).__name__}")
        self._value = value

    def wrong(self, key: str, why: str) -> InputError:
        """The error to raise for a key."""
        return InputError(f"{self.where}: {key!r} {why}")

    def get(self, key: str) -> Any:
        if key not in self._value:
            raise self.wrong(key, "is missing")
        return self._value[key]

    def optional(self, key: str, otherwise: Any) -> Any:
        return self._value.get(key, otherwise)

    def integer(self, key: str) -> int:
        """An integer of 64 bits, or its decimal digits as text."""
        value = self.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(key, f"must be an integer, not {type(value).__name__}")
        if not -_INT64 <= value < _INT64:
            raise self.wrong(key, "does not fit 64 bits")
        return value

    def identity(self, key: str) -> str:
        """An id that may be a number or a word; both as text, so that 12 and "12" are the same."""
        value = self.get(key)
        if isinstance(value, str):
            return self.text(key)
        return str(self.integer(key))

    def text(self, key: str) -> str:
        return checked_text(self.get(key), f"{self.where}: {key!r}")

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """``count`` finite numbers."""
        value = self.get(key)
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.wrong(key, f"must be a list of {count} numbers")
        if not all(is_number(item) for item in value):
            raise self.wrong(key, "must hold finite numbers only")
        return tuple(float(item) for item in value)

    def records(self, key: str) -> Iterator[Fields]:
        yield from records(self.get(key), f"{self.where}: {key!r}")


def shown(value: Any) -> str:
    """A stranger's value for a message, cut short."""
    try:
        return f"{value!r:.50}"
    except ValueError:  # a number of thousands of digits somewhere in it
        return f"a {type(value).__name__} of unprintable numbers"


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite int or float that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def records(value: Any, where: str) -> Iterator[Fields]:
    """The records of a list, each named by its index (from 0)."""
    if not isinstance(value, list):
        raise InputError(f"{where}: must be a list, not {type(value).__name__}")
    for index, item in enumerate(value):
        yield Fields(item, f"{where}: record {index}")
