"""Zip and tar archives, unpacked whole or refused whole.

The whole archive is looked through before anything is written. Then it is written into a temporary
folder, which takes its name only at the end. Only plain files and folders with names inside the
target are written, with default permissions; claimed sizes are not trusted, bytes are counted.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from pipeline.safety.errors import InputError
from pipeline.safety.text import inside

_CHUNK = 1 << 20
_HEADERS = 4096  # bytes of tar headers and padding that an entry may take besides its content
_DECOMPRESSORS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


def check_archive(path: str | Path, *, max_files: int, max_bytes: int, max_ratio: float) -> None:
    """Looks through an archive and writes nothing; the InputErrors of :func:`extract_archive`."""
    with _opened(Path(path), max_files, max_bytes, max_ratio) as archive:
        archive.survey()


def extract_archive(
    path: str | Path,
    folder: str | Path,
    *,
    max_files: int,
    max_bytes: int,
    max_ratio: float,
    keep_free: int,
) -> None:
    """Unpacks a zip or tar (plain, gz, bz2, xz) into the new ``folder``.

    At most ``max_files`` entries and ``max_bytes`` of content, and at most ``max_ratio`` times the
    size of the archive itself; ``keep_free`` bytes of the disk stay free. InputError, with nothing
    left behind, names the archive and the entry for: an absolute name, ``..``, a drive; a link or
    device; a name given twice; too many or too large contents; an encrypted, truncated or damaged
    archive; a folder that is already there. What a killed call left is removed by the next one, so
    only one may work on a folder at a time.
    """
    path, folder = Path(path), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: already there; remove it to unpack {path} again")
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        with _opened(path, max_files, max_bytes, max_ratio) as archive:
            needed = archive.survey()
            folder.parent.mkdir(parents=True, exist_ok=True)
            _check_room(folder, needed, keep_free)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            archive.write(temporary)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_room(folder: Path, needed: int, keep_free: int) -> None:
    free = shutil.disk_usage(folder.parent).free
    if needed + keep_free > free:
        raise OSError(
            errno.ENOSPC,
            f"unpacking needs {needed:,} bytes and {keep_free:,} are to stay free, "
            f"but the disk has only {free:,}",
            str(folder),
        )


@dataclass(frozen=True, slots=True)
class _Limits:
    files: int
    bytes: int


class _Archive:
    def __init__(self, file: IO[bytes], limits: _Limits) -> None:
        self._file, self._limits = file, limits
        self._walk = _unzip if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06") else _untar

    def survey(self) -> int:
        """The bytes of content that an admissible archive claims."""
        survey = _Survey(self._limits)
        self._walk(self._file, survey)
        return survey.claimed

    def write(self, folder: Path) -> None:
        self._walk(self._file, _Writer(self._limits, folder))


@contextmanager
def _opened(path: Path, max_files: int, max_bytes: int, max_ratio: float) -> Iterator[_Archive]:
    """An archive to be read; whatever is wrong with it becomes an InputError that names it."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below; only the opening is guarded
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        try:
            yield _Archive(file, _Limits(max_files, int(min(max_bytes, max_ratio * size))))
        except InputError as error:
            raise InputError(f"{path}: refused: {error}; get it from its publisher") from error
        except OSError as error:
            # A damaged zip can name a place before its own start; all else is ours, as a full disk.
            if error.errno not in (None, errno.EINVAL):
                raise
            raise InputError(f"{path}: damaged archive ({error}); get it again") from error
        except Exception as error:  # a damaged archive can raise anything
            raise InputError(f"{path}: damaged or no archive ({error}); get it again") from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


Opener = Callable[[], IO[bytes]]


class _Survey:
    """Admits each name once and counts entries and claimed bytes; writes nothing."""

    def __init__(self, limits: _Limits) -> None:
        self.limits = limits
        self.claimed = 0
        self._entries = 0
        self._files: set[str] = set()
        self._folders: set[str] = {"."}

    def _admit(self, name: str) -> tuple[PurePosixPath, str, set[str]]:
        """The path of an entry, its name as a file system might fold it, and those above it."""
        self._entries += 1
        if self._entries > self.limits.files:
            raise InputError(f"more than {self.limits.files} entries")
        relative = PurePosixPath(inside(".", name).as_posix())
        folded = PurePosixPath(unicodedata.normalize("NFC", str(relative)).casefold())
        above = {str(parent) for parent in folded.parents}
        if str(folded) in self._files or above & self._files:
            raise InputError(f"{name!r:.200} is there twice")
        return relative, str(folded), above

    def add_folder(self, name: str) -> None:
        if PurePosixPath(name).parts:  # "./" is the target itself
            path, folded, above = self._admit(name)
            self._folders |= above | {folded}
            self.write_folder(path)

    def add_file(self, name: str, content: Opener, size: int) -> None:
        path, folded, above = self._admit(name)
        if folded in self._folders:
            raise InputError(f"{name!r:.200} is there twice")
        self._files.add(folded)
        self._folders |= above
        self.claimed += size
        if self.claimed > self.limits.bytes:
            raise InputError(f"claims more than {self.limits.bytes} bytes: a bomb?")
        self.write_file(path, name, content, size)

    def write_folder(self, path: PurePosixPath) -> None:
        return

    def write_file(self, path: PurePosixPath, name: str, content: Opener, size: int) -> None:
        return


class _Writer(_Survey):
    """Writes what it admits below ``folder``, and counts the bytes that there are in truth."""

    def __init__(self, limits: _Limits, folder: Path) -> None:
        super().__init__(limits)
        self._folder = folder
        self._bytes = 0

    def write_folder(self, path: PurePosixPath) -> None:
        (self._folder / path).mkdir(parents=True, exist_ok=True)

    def write_file(self, path: PurePosixPath, name: str, content: Opener, size: int) -> None:
        target, before = self._folder / path, self._bytes
        target.parent.mkdir(parents=True, exist_ok=True)
        with content() as source, open(target, "xb") as file:
            while chunk := source.read(_CHUNK):
                self._bytes += len(chunk)
                if self._bytes > self.limits.bytes:
                    raise InputError(f"unpacks to more than {self.limits.bytes} bytes: a bomb?")
                file.write(chunk)
        if self._bytes - before != size:
            raise InputError(f"{name!r:.200} is truncated")


def _unzip(file: IO[bytes], target: _Survey) -> None:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            name = entry.orig_filename  # before zipfile cuts it at a zero byte
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{name!r:.200} is a link or device")
            if entry.flag_bits & 1:
                raise InputError(f"{name!r:.200} is encrypted")
            if entry.is_dir() and entry.file_size:
                raise InputError(f"{name!r:.200} is a folder with content")
            if entry.is_dir():
                target.add_folder(name)
            else:
                target.add_file(name, partial(archive.open, entry), entry.file_size)


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


def _untar(file: IO[bytes], target: _Survey) -> None:
    file.seek(0)
    start = file.read(6)
    file.seek(0)
    opener = next((o for magic, o in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    stream: IO[bytes] = opener(file) if opener else file  # type: ignore[operator]
    limit = target.limits.bytes + (target.limits.files + 8) * _HEADERS
    bounded = _Bounded(stream, limit)
    with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
        for entry in archive:
            if entry.isdir():
                target.add_folder(entry.name)
            elif entry.isreg() and not entry.issparse():
                target.add_file(entry.name, partial(_member, archive, entry), entry.size)
            else:
                raise InputError(f"{entry.name!r:.200} is a link or device")


def _member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(entry)
    assert content is not None  # plain files have content
    return content
