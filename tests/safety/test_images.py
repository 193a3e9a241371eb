"""A picture of any form becomes 8-bit RGB or is refused by name."""

import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.safety import InputError, open_image
from tests.fuzzing import fuzz, spoiled

PIXELS = 10_000


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
        with pytest.raises(InputError, match=r"a\.png.*pixels.*smaller"):
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


@fuzz()
@given(
    suffix=st.sampled_from(["png", "jpg", "webp", "bmp", "gif", "tif", "ppm"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    cut=st.floats(0, 1) | st.just(1.0),
)
def test_damaged_pictures_are_pixels_or_named(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    changes: list[tuple[float, int]],
    cut: float,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed_pictures"
    path = folder / f"spoiled.{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(spoiled(good_picture(folder, suffix), changes, cut))
    try:
        found = open_image(path, PIXELS)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3
        assert found.shape[0] * found.shape[1] <= PIXELS


@cache
def good_picture(folder: Path, suffix: str) -> bytes:
    return save(folder / f"good.{suffix}", Image.fromarray(gradient())).read_bytes()
