"""Whether a file is the one that was meant, before anything opens it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.download.catalogue import Resource

_CHUNK = 1 << 20
# How files of a kind begin. An error page that comes in place of a file does not.
_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    ".zip": (b"PK\x03\x04",),
    ".gguf": (b"GGUF",),
    ".json": (b"[", b"{"),
    ".pt": (b"PK\x03\x04",),
    ".pth": (b"PK\x03\x04", b"\x80"),
    ".jpg": (b"\xff\xd8\xff",),
}


@dataclass(frozen=True, slots=True)
class Content:
    bytes: int
    sha256: str
    md5: str


def content_of(path: Path) -> Content:
    """Size and hashes, in one reading; the file is on disk when this returns."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return Content(size, sha256.hexdigest(), md5.hexdigest())


def fault_of(path: Path, content: Content, resource: Resource, seen: str | None) -> str | None:
    """What is wrong with a file, in words; None if nothing is.

    seen: the sha256 of the first copy ever fetched, which counts where no sha256 is published.
    """
    if not content.bytes:
        return "is empty"
    if resource.bytes is not None and content.bytes != resource.bytes:
        return f"has {content.bytes:,} bytes, not {resource.bytes:,}"
    if resource.sha256 is not None and content.sha256 != resource.sha256:
        return f"has the sha256 {content.sha256}, not {resource.sha256}"
    if resource.md5 is not None and content.md5 != resource.md5:
        return f"has the md5 {content.md5}, not {resource.md5}"
    if resource.sha256 is None and seen is not None and content.sha256 != seen:
        return f"has the sha256 {content.sha256}, but was {seen} when it was first seen"
    beginnings = _BEGINNINGS.get(Path(resource.name).suffix)
    if beginnings is not None:
        with open(path, "rb") as file:
            start = file.read(max(map(len, beginnings)))
        if not start.startswith(beginnings):
            return f"begins with {start!r}: no {Path(resource.name).suffix} file"
    return None
