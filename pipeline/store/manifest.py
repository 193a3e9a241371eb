"""What a table says of itself, and the checksum that guards all of its bytes.

Both lie in the parquet footer, so that a file cannot lose them. The checksum is the CRC-32 of the
whole file with the checksum's own eight digits read as zeros; it is verified before anything parses
the file, so that truncation and flipped bits are told apart from bad content.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.safety import InputError

SCHEMA_VERSION = 1
MANIFEST_KEY = b"ris"
CHECKSUM_KEY = b"ris-checksum"
UNSIGNED = b"ris-crc32=00000000"
_SIGNATURE = re.compile(rb"ris-crc32=[0-9a-f]{8}")
_DIGITS = 8
_MAGIC = b"PAR1"
_CHUNK = 1 << 22
REMEDY = "delete it and rerun the step that writes it"


@dataclass(frozen=True)
class Manifest:
    """The kind of a table, the digest of the config that made it, the digests of its inputs."""

    kind: str
    schema_version: int
    config_digest: str
    inputs: dict[str, str]
    rows: int

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        return cls(**json.loads(data))


def _digits_at(file: BinaryIO) -> int:
    """Where the checksum's digits start. ValueError when the file is no signed parquet file."""
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        raise ValueError("it is truncated")
    file.seek(size - 8)
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > size - 12:
        raise ValueError("it is truncated or no table")
    file.seek(size - 8 - length)
    found = list(_SIGNATURE.finditer(file.read(length)))
    if len(found) != 1:
        raise ValueError("it has no checksum of this pipeline")
    return size - 8 - length + found[0].end() - _DIGITS


def _checksum(file: BinaryIO, digits_at: int) -> bytes:
    file.seek(0)
    crc, left = 0, digits_at
    while left:
        chunk = file.read(min(left, _CHUNK))
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
    crc = zlib.crc32(b"0" * _DIGITS, crc)
    file.seek(digits_at + _DIGITS)
    while chunk := file.read(_CHUNK):
        crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}".encode()


def sign(path: Path) -> None:
    """Writes the checksum of a finished file, which holds ``UNSIGNED`` once, into it."""
    with open(path, "r+b") as file:
        digits_at = _digits_at(file)
        crc = _checksum(file, digits_at)
        file.seek(digits_at)
        file.write(crc)


def verify(path: Path) -> None:
    """InputError, with the remedy, for a file that is missing, truncated, damaged or no table."""
    try:
        with open(path, "rb") as file:
            digits_at = _digits_at(file)
            file.seek(digits_at)
            if file.read(_DIGITS) != _checksum(file, digits_at):
                raise ValueError("its bytes are damaged (checksum differs)")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; run the step that writes it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}; {REMEDY}") from error
