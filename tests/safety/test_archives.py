"""An archive is unpacked whole or refused whole; it never escapes or floods."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.safety import (
    InputError,
    check_archive,
    extract_archive,
)


def contents(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


LIMITS: dict[str, Any] = {
    "max_files": 10,
    "max_bytes": 10_000,
    "max_ratio": 1e6,
    "keep_free": 0,
}
GOOD = {"refcoco/": None, "refcoco/refs(unc).p": b"refs", "refcoco/deep/a.json": b"{}" * 100}


def zipped(path: Path, entries: dict[str, bytes | None], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            if mode:
                entry.external_attr = mode << 16
            archive.writestr(entry, data or b"")
    return path


def tarred(path: Path, entries: dict[str, bytes | None], **other: Any) -> Path:
    form = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(path.suffix, "w")
    with tarfile.open(path, form) as archive:  # type: ignore[call-overload]
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.size = len(data or b"")
            for key, value in other.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(data or b""))
    return path


MAKERS = {
    "a.zip": zipped,
    "a.tar": tarred,
    "a.tar.gz": tarred,
    "a.tar.bz2": tarred,
    "a.tar.xz": tarred,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_good_archive_is_unpacked(tmp_path: Path, name: str) -> None:
    archive = MAKERS[name](tmp_path / name, GOOD)
    extract_archive(archive, tmp_path / "out", **LIMITS)
    assert (tmp_path / "out/refcoco/refs(unc).p").read_bytes() == b"refs"
    assert (tmp_path / "out/refcoco/deep/a.json").read_bytes() == b"{}" * 100
    unpacked = ["refcoco", "refcoco/deep", "refcoco/deep/a.json", "refcoco/refs(unc).p"]
    assert contents(tmp_path / "out") == unpacked
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name, "out"]


@pytest.mark.parametrize("maker", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"ok": b"1", "../evil": b"2"}, "leads out"),
        ({"ok": b"1", "a/../../evil": b"2"}, "leads out"),
        ({"ok": b"1", "/tmp/evil": b"2"}, "leads out"),
        ({"ok": b"1", "C:/evil": b"2"}, "leads out"),
        ({"ok": b"1", "..\\evil": b"2"}, "leads out"),
        ({"ok": b"1", "e\nvil": b"2"}, "control character"),
        ({"ok": b"1", "x" * 300: b"2"}, "too long"),
        ({"ok": b"1", "OK": b"2"}, "there twice"),
        ({"ok": b"1", "./ok": b"2"}, "there twice"),
        ({"ok": b"1", "ok/below": b"2"}, "there twice"),
        ({"ok/below": b"1", "ok": b"2"}, "there twice"),
        ({"ok/": None, "ok": b"2"}, "there twice"),
        ({str(i): b"" for i in range(11)}, "more than 10 entries"),
        ({"ok": b"1", "big": b"\0" * 10_001}, "more than 10000 bytes"),
        ({str(i): b"\0" * 2000 for i in range(6)}, "more than 10000 bytes"),
    ],
)
def test_a_bad_archive_is_refused_whole(
    tmp_path: Path, maker: str, entries: dict[str, bytes | None], message: str
) -> None:
    archive = MAKERS[maker](tmp_path / maker, entries)
    with pytest.raises(InputError, match=rf"{maker}: refused.*{message}"):
        extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == [maker]


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_links_and_devices_of_a_tar_are_refused(tmp_path: Path, kind: str) -> None:
    archive = tarred(
        tmp_path / "a.tar", {"evil": b""}, type=getattr(tarfile, kind), linkname="/etc/passwd"
    )
    with pytest.raises(InputError, match="'evil' is a link or device"):
        extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_of_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    archive = zipped(tmp_path / "a.zip", {"evil": b"/etc/passwd"}, mode=kind | 0o777)
    with pytest.raises(InputError, match="'evil' is a link or device"):
        extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == ["a.zip"]


def test_modes_of_an_archive_are_not_taken_over(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"run": b"#!"}, mode=0o6777)
    extract_archive(archive, tmp_path / "out", **LIMITS)
    assert (tmp_path / "out/run").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("maker", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, maker: str) -> None:
    archive = MAKERS[maker](tmp_path / maker, {"zeros": b"\0" * 2_000_000})
    with pytest.raises(InputError, match="bomb"):
        extract_archive(
            archive, tmp_path / "out", **LIMITS | {"max_bytes": 1 << 30, "max_ratio": 100}
        )
    assert contents(tmp_path) == [maker]


def test_a_zip_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"zeros": b"\0" * 50_000})
    data = archive.read_bytes().replace((50_000).to_bytes(4, "little"), (5).to_bytes(4, "little"))
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip"):
        extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == ["a.zip"]


def test_a_bomb_in_a_tar_header_is_refused(tmp_path: Path) -> None:
    """An extended header is read whole, into memory, before any entry is seen."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 50_000_000
    with gzip.open(tmp_path / "a.tar.gz", "wb", 1) as file:
        file.write(header.tobuf())
        for _ in range(50):
            file.write(b"\0" * 1_000_000)
    with pytest.raises(InputError, match="bomb"):
        extract_archive(tmp_path / "a.tar.gz", tmp_path / "out", **LIMITS)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"secret": b"x"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(InputError, match="encrypted"):
        extract_archive(archive, tmp_path / "out", **LIMITS)


@pytest.mark.parametrize("name", MAKERS)
def test_truncated_archives_leave_nothing(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).bytes(3000)
    archive = MAKERS[name](tmp_path / name, {"a": noise, "b": noise})
    data = archive.read_bytes()
    for part in (0, 3, 100, len(data) // 3):
        archive.write_bytes(data[:part])
        with pytest.raises(InputError, match=name):
            extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == [name]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_what_is_no_archive_is_named(tmp_path: Path, pack: Any) -> None:
    (tmp_path / "a.zip").write_bytes(pack(b"no archive at all" * 100))
    with pytest.raises(InputError, match=r"a\.zip: damaged or no archive"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out", **LIMITS)
    with pytest.raises(InputError, match=r"b\.zip: cannot be read"):
        extract_archive(tmp_path / "b.zip", tmp_path / "out", **LIMITS)


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", GOOD)
    (tmp_path / "out").mkdir()
    extract_archive(archive, tmp_path / "out", **LIMITS)
    with pytest.raises(InputError, match="already there"):
        extract_archive(archive, tmp_path / "out", **LIMITS)


def test_a_disk_that_would_get_too_full_is_left_alone(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", GOOD)
    with pytest.raises(OSError, match="stay free, but the disk has only"):
        extract_archive(archive, tmp_path / "out", **LIMITS | {"keep_free": 1 << 60})
    assert contents(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("name", MAKERS)
def test_looking_through_writes_nothing(tmp_path: Path, name: str) -> None:
    limits = {key: value for key, value in LIMITS.items() if key != "keep_free"}
    archive = MAKERS[name](tmp_path / name, GOOD)
    check_archive(archive, **limits)
    with pytest.raises(InputError, match="more than 2 entries"):
        check_archive(archive, **limits | {"max_files": 2})
    MAKERS[name](tmp_path / name, {"ok": b"1", "../evil": b"2"})
    with pytest.raises(InputError, match=rf"{name}: refused.*leads out"):
        check_archive(archive, **limits)
    assert contents(tmp_path) == [name]


def test_what_a_killed_call_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".out.tmp" / "deep"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"1")
    extract_archive(zipped(tmp_path / "a.zip", GOOD), tmp_path / "out", **LIMITS)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zip", "out"]


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"deep/": b"content"})
    with pytest.raises(InputError, match="'deep/' is a folder with content"):
        extract_archive(archive, tmp_path / "out", **LIMITS)


def test_a_zip_that_points_before_its_own_start_is_damaged(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", GOOD)
    data = bytearray(archive.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    for place in range(end + 12, end + 20):  # size and place of the list of entries
        for value in (0xFF, 0x80):
            changed = bytearray(data)
            changed[place] = value
            archive.write_bytes(changed)
            with pytest.raises(InputError, match=r"a\.zip: (damaged|refused)"):
                extract_archive(archive, tmp_path / "out", **LIMITS)
    assert contents(tmp_path) == ["a.zip"]
