"""Thousands of hostile and damaged archives: none escapes, and a refused one leaves nothing."""

from __future__ import annotations

import io
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.safety import InputError, check_archive, extract_archive
from tests.fuzzing import fuzz, spoiled

LIMITS = {"max_files": 12, "max_bytes": 4_000, "max_ratio": 50.0}
pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


class Entry(NamedTuple):
    name: str
    content: bytes
    kind: str  # file, folder, link, hard link, device, fifo


PARTS = st.sampled_from(
    ["a", "A", "b", "é", "e\u0301", "..", ".", "", "/", "~", "C:", "c\\d", "a\n", "x" * 256, "con"]
)
NAMES = (st.lists(PARTS, min_size=1, max_size=4).map("/".join) | st.text(max_size=12)).filter(
    lambda name: not name.endswith("/")  # which makes a folder of any entry
)
KINDS = st.sampled_from(["file"] * 6 + ["folder"] * 2 + ["link", "hard link", "device", "fifo"])
ENTRIES = st.lists(
    st.builds(Entry, NAMES, st.binary(max_size=40) | st.just(b"\0" * 3_000), KINDS), max_size=14
)

MODES = {
    "file": stat.S_IFREG,
    "folder": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "hard link": stat.S_IFLNK,
    "device": stat.S_IFCHR,
    "fifo": stat.S_IFIFO,
}
TYPES = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def zipped(entries: list[Entry]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            name = entry.name + ("/" if entry.kind == "folder" else "")
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name.encode("utf-8", "replace").decode()
            info.external_attr = MODES[entry.kind] << 16
            archive.writestr(info, b"" if entry.kind == "folder" else entry.content)
    return buffer.getvalue()


def tarred(entries: list[Entry], form: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=form) as archive:  # type: ignore[call-overload]
        for entry in entries:
            info = tarfile.TarInfo(entry.name.encode("utf-8", "replace").decode())
            info.type = TYPES[entry.kind]
            info.linkname = "/etc/passwd"
            info.size = len(entry.content) if entry.kind == "file" else 0
            archive.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


PACKERS = st.sampled_from([zipped, zipped, lambda e: tarred(e, "w:"), lambda e: tarred(e, "w:gz")])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def unpacked(folder: Path, data: bytes) -> dict[str, bytes] | None:
    """The files that an archive was unpacked to; None if it was refused, leaving nothing.

    It is unpacked some folders down, so that a name that leads up is seen.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        place = root / "one" / "two" / "three"
        place.mkdir(parents=True)
        archive = root / "archive"
        archive.write_bytes(data)
        frame = {"archive", "one", "one/two", "one/two/three"}
        try:
            extract_archive(archive, place / "out", keep_free=0, **LIMITS)  # type: ignore[arg-type]
        except InputError as error:
            assert "archive" in str(error)
            assert {str(p.relative_to(root)) for p in root.rglob("*")} == frame
            return None
        finally:
            assert archive.read_bytes() == data
        check_archive(archive, **LIMITS)  # type: ignore[arg-type]
        out = place / "out"
        found = [path for path in root.rglob("*") if str(path.relative_to(root)) not in frame]
        assert all(path == out or out in path.parents for path in found)
        assert all(not path.is_symlink() for path in found)
        assert all(path.is_dir() or path.is_file() for path in found)
        files = {str(p.relative_to(out)): p.read_bytes() for p in found if p.is_file()}
        assert sum(map(len, files.values())) <= LIMITS["max_bytes"]
        assert len(files) <= LIMITS["max_files"]
        return files


@fuzz(tests=3)
@given(entries=ENTRIES, pack=PACKERS)
def test_hostile_entries(folder: Path, entries: list[Entry], pack: object) -> None:
    files = unpacked(folder, pack(entries))  # type: ignore[operator]
    if files is None:
        return
    assert {entry.kind for entry in entries} <= {"file", "folder"}
    expected = {
        str(PurePosixPath(entry.name.encode("utf-8", "replace").decode())): entry.content
        for entry in entries
        if entry.kind == "file"
    }
    assert files == expected


GOOD = [Entry("a/b", b"1" * 30, "file"), Entry("a/c", b"2", "file"), Entry("d", b"", "folder")]
WHOLE = {"a/b": b"1" * 30, "a/c": b"2"}
SEEDS = [zipped(GOOD), tarred(GOOD, "w:"), tarred(GOOD, "w:gz"), tarred(GOOD, "w:xz")]


def test_the_seeds_are_good(folder: Path) -> None:
    assert [unpacked(folder, seed) for seed in SEEDS] == [WHOLE] * len(SEEDS)


@fuzz(tests=3)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.floats(0, 1) | st.just(1.0),
    more=st.binary(max_size=20),
)
def test_damaged_archives(
    folder: Path, seed: bytes, changes: list[tuple[float, int]], cut: float, more: bytes
) -> None:
    unpacked(folder, spoiled(seed, changes, cut) + more)


STARTS = st.sampled_from([b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00", b""])


@fuzz(tests=3)
@given(start=STARTS, rest=st.binary(max_size=1200), padding=st.integers(0, 2))
def test_any_bytes_at_all(folder: Path, start: bytes, rest: bytes, padding: int) -> None:
    files = unpacked(folder, start + rest + b"\0" * 512 * padding)
    assert not files
