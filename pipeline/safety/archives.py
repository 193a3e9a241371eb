"""Zip and tar archives, unpacked whole or refused whole.

Every entry is checked before it is written, into a temporary folder that takes its name only at the
end. Only plain files and folders with names inside the target are written, with default
permissions; claimed sizes are not trusted, bytes are counted.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import secrets
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from pipeline.safety.errors import InputError
from pipeline.safety.text import inside

_CHUNK = 1 << 20
_HEADERS = 4096  # bytes of tar headers and padding that an entry may take besides its content
_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def extract_archive(
    path: str | Path, folder: str | Path, *, max_files: int, max_bytes: int, max_ratio: float
) -> None:
    """Unpacks a zip or tar (plain, gz, bz2, xz) into the new ``folder``.

    At most ``max_files`` entries and ``max_bytes`` of content, and at most ``max_ratio`` times the
    size of the archive itself. InputError, with nothing left behind, names the archive and the
    entry for: an absolute name, ``..``, a drive; a link or device; a name given twice; too many or
    too large contents; an encrypted, truncated or damaged archive; a folder that is already there.
    """
    path, folder = Path(path), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already there; remove it to unpack {path} again")
    with _open(path) as archive:
        size = os.fstat(archive.fileno()).st_size
        zipped = archive.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        archive.seek(0)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        temporary.mkdir()
        try:
            target = _Target(temporary, max_files, int(min(max_bytes, max_ratio * size)))
            (_unzip if zipped else _untar)(archive, target)
            os.replace(temporary, folder)
        except InputError as error:
            raise InputError(f"{path}: refused: {error}; get it from its publisher") from error
        except OSError as error:
            if error.errno is not None:  # ours, as a full disk
                raise
            raise InputError(f"{path}: damaged archive ({error}); get it again") from error
        except Exception as error:  # a damaged archive can raise anything
            raise InputError(f"{path}: damaged or no archive ({error}); get it again") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below; only the opening is guarded
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        yield file


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Target:
    """The folder being filled: admits each name once and counts entries and bytes."""

    def __init__(self, folder: Path, max_files: int, max_bytes: int) -> None:
        self._folder = folder
        self.max_files = max_files
        self.max_bytes = max_bytes
        self._entries = 0
        self._bytes = 0
        self._files: set[str] = set()
        self._folders: set[str] = {"."}

    def _admit(self, name: str) -> tuple[Path, str, set[str]]:
        """The path of an entry, its name as a file system might fold it, and those above it."""
        self._entries += 1
        if self._entries > self.max_files:
            raise InputError(f"more than {self.max_files} entries")
        path = inside(self._folder, name)
        relative = PurePosixPath(path.relative_to(self._folder).as_posix())
        folded = PurePosixPath(unicodedata.normalize("NFC", str(relative)).casefold())
        above = {str(parent) for parent in folded.parents}
        if str(folded) in self._files or above & self._files:
            raise InputError(f"{name!r:.200} is there twice")
        return path, str(folded), above

    def add_folder(self, name: str) -> None:
        if PurePosixPath(name).parts:  # "./" is the target itself
            path, folded, above = self._admit(name)
            self._folders |= above | {folded}
            path.mkdir(parents=True, exist_ok=True)

    def add_file(self, name: str, content: _Readable, size: int) -> None:
        path, folded, above = self._admit(name)
        if folded in self._folders:
            raise InputError(f"{name!r:.200} is there twice")
        self._files.add(folded)
        self._folders |= above
        path.parent.mkdir(parents=True, exist_ok=True)
        before = self._bytes
        with open(path, "xb") as file:
            while chunk := content.read(_CHUNK):
                self._bytes += len(chunk)
                if self._bytes > self.max_bytes:
                    raise InputError(f"unpacks to more than {self.max_bytes} bytes: a bomb?")
                file.write(chunk)
        if self._bytes - before != size:
            raise InputError(f"{name!r:.200} is truncated")


def _unzip(file: IO[bytes], target: _Target) -> None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > target.max_bytes:
            raise InputError(f"claims more than {target.max_bytes} bytes: a bomb?")
        for entry in entries:
            name = entry.orig_filename  # before zipfile cuts it at a zero byte
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{name!r:.200} is a link or device")
            if entry.flag_bits & 1:
                raise InputError(f"{name!r:.200} is encrypted")
            if entry.is_dir():
                target.add_folder(name)
            else:
                with archive.open(entry) as content:
                    target.add_file(name, content, entry.file_size)


class _Bounded:
    """A decompressed stream that ends with an error where a bomb would go on."""

    def __init__(self, stream: _Readable, limit: int) -> None:
        self._stream, self._left = stream, limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError("unpacks to more than its limit: a bomb?")
        return data


def _untar(file: IO[bytes], target: _Target) -> None:
    start = file.read(6)
    file.seek(0)
    opener = next((o for magic, o in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    stream: IO[bytes] = opener(file) if opener else file  # type: ignore[operator]
    bounded = _Bounded(stream, target.max_bytes + (target.max_files + 8) * _HEADERS)
    with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
        for entry in archive:
            if entry.isdir():
                target.add_folder(entry.name)
            elif entry.isreg() and not entry.issparse():
                content = archive.extractfile(entry)
                assert content is not None  # plain files have content
                target.add_file(entry.name, content, entry.size)
            else:
                raise InputError(f"{entry.name!r:.200} is a link or device")
