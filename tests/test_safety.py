"""A stranger's bytes are decoded or refused by name; they never run, escape or flood."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from pipeline.safety import (
    InputError,
    checked_text,
    extract_archive,
    inside,
    load_plain_pickle,
    load_weights,
    open_image,
)

PIXELS = 10_000


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.path),)


def contents(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


# -- pickles

PLAIN = [
    {"ref_id": 0, "sentences": [{"raw": "Füße 🙂", "tokens": ["a"], "box": (1, 2.5)}], "x": None}
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_every_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "refs(unc).p"
    path.write_bytes(pickle.dumps(PLAIN, protocol))
    assert load_plain_pickle(path) == PLAIN


def test_strings_of_python_2_follow_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "old.p"
    path.write_bytes(b"S'caf\\xe9'\np0\n.")
    assert load_plain_pickle(path, encoding="latin1") == "café"
    assert load_plain_pickle(path, encoding="bytes") == b"caf\xe9"
    with pytest.raises(InputError, match=r"old\.p"):
        load_plain_pickle(path, encoding="utf-8")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Evil(mark), protocol))
    assert mark.exists()  # it is evil indeed
    mark.unlink()
    path = tmp_path / "evil.p"
    path.write_bytes(pickle.dumps([1, Evil(mark)], protocol))
    with pytest.raises(InputError, match=r"evil\.p: refused.*global (posix|nt)\.mknod"):
        load_plain_pickle(path)
    with pytest.raises(InputError, match="mknod"):
        load_plain_pickle(path, allow=["builtins.set"])
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"Pname\n.",  # a persistent id
        b"\x80\x02\x82\x01.",  # an extension
        b"]}b.",  # BUILD on a list
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",  # a bytearray of a terabyte
        b"]r\xff\xff\xff\x7f.\x00",  # a memo of 2**31 entries: must not cost memory
        b"\x80\x02" + b")" + b"\x85" * 200_000 + b"}" + b"q\x00" + b"h\x00s.",  # nested tuples
        b"\x80\x04(\x91\x85.",  # a frozenset
    ],
)
def test_opcodes_beyond_plain_data_do_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.p"
    path.write_bytes(data)
    if data.startswith(b"]r"):
        assert load_plain_pickle(path) == []
        return
    with pytest.raises(InputError, match=r"odd\.p: (refused|damaged)"):
        load_plain_pickle(path)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_an_allowed_global_is_found(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "sets.p"
    path.write_bytes(pickle.dumps({"category": {"sky"}}, protocol))
    allow = ["builtins.set", "__builtin__.set"]
    assert load_plain_pickle(path, allow=allow) == {"category": {"sky"}}


def test_a_pickle_that_is_missing_large_or_truncated_is_named(tmp_path: Path) -> None:
    path = tmp_path / "refs.p"
    with pytest.raises(InputError, match=r"refs\.p: cannot be read"):
        load_plain_pickle(path)
    data = pickle.dumps(PLAIN, 2)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"refs\.p: larger than 10 bytes"):
        load_plain_pickle(path, max_bytes=10)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"refs\.p"):
            load_plain_pickle(path)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([bytes([op]) for op in range(40, 150)]), max_size=40).map(
            b"".join
        ),
        st.tuples(st.integers(0, 5), st.integers(0, 200), st.integers(0, 255)),
    )
)
def test_any_bytes_are_plain_data_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes | tuple[int, int, int]
) -> None:
    if isinstance(data, tuple):  # a good pickle with one byte changed
        protocol, place, value = data
        changed = bytearray(pickle.dumps(PLAIN, protocol))
        changed[place % len(changed)] = value
        data = bytes(changed)
    path = tmp_path_factory.getbasetemp() / "fuzz.p"
    path.write_bytes(data)
    try:
        found = load_plain_pickle(path)
    except InputError as error:
        assert "fuzz.p" in str(error)
        return
    waiting, seen = [found], set()
    while waiting:
        item = waiting.pop()
        assert type(item) in (list, tuple, dict, set, str, bytes, int, float, bool, type(None))
        if isinstance(item, list | tuple | dict | set) and id(item) not in seen:
            seen.add(id(item))
            waiting += [*item, *(item.values() if isinstance(item, dict) else ())]


# -- archives

LIMITS = {"max_files": 10, "max_bytes": 10_000, "max_ratio": 1e6}
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
        extract_archive(archive, tmp_path / "out", max_files=10, max_bytes=1 << 30, max_ratio=100)
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


# -- weights


def test_tensors_of_every_form_are_read(tmp_path: Path) -> None:
    weights = {"a.weight": torch.arange(4.0).reshape(2, 2)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    torch.save({"model": weights, "epoch": 3}, tmp_path / "b.pt")
    for name, key in (("a.safetensors", None), ("a.pth", None), ("b.pt", "model")):
        found = load_weights(tmp_path / name, key=key)
        assert list(found) == ["a.weight"] and torch.equal(found["a.weight"], weights["a.weight"])
    with pytest.raises(InputError, match=r"b\.pt: holds more than named tensors.*model, epoch"):
        load_weights(tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"b\.pt: has no entry 'state_dict'"):
        load_weights(tmp_path / "b.pt", key="state_dict")


@pytest.mark.parametrize("name", ["evil.pth", "evil.ckpt", "evil.safetensors"])
def test_weights_that_run_code_run_nothing(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    torch.save({"a": torch.ones(1), "b": Evil(mark)}, path)
    with pytest.raises(InputError, match=name):
        load_weights(path)
    path.write_bytes(pickle.dumps(Evil(mark), 2))
    with pytest.raises(InputError, match=name):
        load_weights(path)
    assert not mark.exists()


def test_weights_that_are_missing_or_truncated_are_named(tmp_path: Path) -> None:
    weights = {"a": torch.ones(100)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        path = tmp_path / name
        data = path.read_bytes()
        for part in (0, 5, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:part])
            with pytest.raises(InputError, match=name):
                load_weights(path)
        path.unlink()
        with pytest.raises(InputError, match=f"{name}: no such file"):
            load_weights(path)


# -- text and names


@pytest.mark.parametrize(
    "text", ["the man", "Füße", "左边的人", "الرجل", "dog 🐕‍🦺 left", "a'b\"c;<b>"]
)
def test_text_of_any_script_is_kept(text: str) -> None:
    assert checked_text(f" {text}\n", "raw") == text


def test_line_breaks_and_tabs_become_spaces() -> None:
    assert checked_text("left\tman\r\nin red\u2028", "raw") == "left man  in red"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("a\x00b", r"U\+0000"),
        ("a\x1b[31mb", r"U\+001B"),
        ("a\x7f", r"U\+007F"),
        ("a\ud800", r"U\+D800"),
        ("x" * 2001, "2001 characters"),
        (None, "must be text, not NoneType"),
        (b"bytes", "must be text, not bytes"),
    ],
)
def test_text_that_is_none_names_its_key(text: object, message: str) -> None:
    with pytest.raises(InputError, match=rf"ref 3: raw: .*{message}|ref 3: raw: {message}"):
        checked_text(text, "ref 3: raw")


@pytest.mark.parametrize("name", ["a.jpg", "deep/a.jpg", "./a.jpg", "Füße 🙂.jpg", "a..b.jpg"])
def test_names_inside(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../../b",
        "/etc/passwd",
        "C:\\a",
        "c:a",
        "a\\b",
        "a\0b",
        "x" * 300,
        3,
    ],
)
def test_names_that_lead_out(tmp_path: Path, name: Any) -> None:
    with pytest.raises(InputError):
        inside(tmp_path, name)


# -- pictures


def gradient(height: int = 20, width: int = 30) -> np.ndarray:
    """uint8 (height, width, 3), different in every direction and channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 12 % 256, columns * 8 % 256, rows * 0 + 99], axis=2).astype(np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_a_plain_picture_is_itself(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(gradient()))
    found = open_image(path, PIXELS)
    assert found.dtype == np.uint8 and np.array_equal(found, gradient())
    assert np.array_equal(open_image(path, 600, size=(20, 30)), gradient())


@pytest.mark.parametrize("shape", [(40, 1), (1, 40), (1, 1)])
def test_a_picture_one_pixel_wide(tmp_path: Path, shape: tuple[int, int]) -> None:
    for suffix in ("png", "jpg"):
        path = save(tmp_path / f"a.{suffix}", Image.fromarray(gradient(*shape)))
        assert open_image(path, PIXELS).shape == (*shape, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(gradient()[:, :, 0]))
    found = open_image(path, PIXELS)
    assert found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - gradient()[:, :, :1]).max() <= (0 if suffix == "png" else 8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path: Path, suffix: str) -> None:
    """Pillow alone would clip them: all but the darkest 1/256 becomes white."""
    deep = np.array([[0, 257 * 7, 257 * 128, 65535]], dtype=np.uint16)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(deep))
    assert open_image(path, PIXELS)[0, :, 0].tolist() == [0, 7, 128, 255]


def test_black_and_white_and_cmyk(tmp_path: Path) -> None:
    bits = Image.fromarray(gradient()[:, :, 0] > 100)
    assert set(np.unique(open_image(save(tmp_path / "a.png", bits), PIXELS))) == {0, 255}
    flat = Image.new("RGB", (30, 20), (200, 30, 60))
    path = save(tmp_path / "a.jpg", flat.convert("CMYK"), quality=95)
    found = open_image(path, PIXELS)
    assert found.shape == (20, 30, 3) and np.abs(found[5, 5] - [200.0, 30, 60]).max() < 12


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    colours = np.array([[[9, 8, 7, 0], [9, 8, 7, 255]]], dtype=np.uint8)
    picture = Image.fromarray(colours, "RGBA")
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    palette.putpalette([1, 2, 3, 9, 8, 7])
    grey = Image.fromarray(np.array([[[5, 0], [9, 255]]], dtype=np.uint8), "LA")
    cases = [
        (save(tmp_path / "rgba.png", picture), [9, 8, 7]),
        (save(tmp_path / "palette.png", palette, transparency=0), [9, 8, 7]),
        (save(tmp_path / "palette.gif", palette, transparency=0), [9, 8, 7]),
        (save(tmp_path / "grey.png", grey), [9, 9, 9]),
    ]
    for path, colour in cases:
        assert open_image(path, PIXELS).tolist() == [[[255, 255, 255], colour]], path.name


def test_the_camera_turn_is_applied_unless_masks_say_no(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # show it turned right by 90 degrees
    path = save(tmp_path / "a.png", Image.fromarray(gradient()), exif=exif)
    assert np.array_equal(open_image(path, PIXELS), np.rot90(gradient(), k=-1))
    assert np.array_equal(open_image(path, PIXELS, apply_exif=False), gradient())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif"])
def test_truncated_pictures_are_named(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    for part in (0, 10, len(data) // 2, len(data) * 9 // 10):
        path.write_bytes(data[:part])
        with pytest.raises(InputError, match=rf"cut\.{suffix}"):
            open_image(path, PIXELS)


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(gradient()))
    with pytest.raises(InputError, match=r"a\.png: 30 x 20 pixels, at most 599"):
        open_image(path, 599)
    data = bytearray(path.read_bytes())
    for side in (9_000, 60_000):  # below and above Pillow's own limit
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        path.write_bytes(bytes(data))
        with pytest.raises(InputError, match=r"a\.png.*pixels"):
            open_image(path, PIXELS)


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(gradient()))
    with pytest.raises(InputError, match=r"a\.png: 20 high and 30 wide, .* says 30 and 20"):
        open_image(path, PIXELS, size=(30, 20))


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>"]
)
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.jpg: not a picture"):
        open_image(tmp_path / "a.jpg", PIXELS)


def test_a_picture_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.jpg: no such file"):
        open_image(tmp_path / "a.jpg", PIXELS)
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(InputError, match=r"b\.jpg"):
        open_image(tmp_path / "b.jpg", PIXELS)


def test_floating_point_pictures_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.ones((3, 3), dtype=np.float32)))
    with pytest.raises(InputError, match=r"a\.tif.*floating point"):
        open_image(path, PIXELS)
