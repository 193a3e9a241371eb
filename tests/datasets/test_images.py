"""Pictures are decoded once, within a bound, and never swapped or changed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import ImageFolder
from pipeline.records import ImageRecord
from pipeline.safety import InputError

HEIGHT, WIDTH = 64, 128
MIB = HEIGHT * WIDTH * 3 / (1 << 20)


def record(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> ImageRecord:
    return ImageRecord("toy", number, f"{number}.png", height, width, "train")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        pixels = np.full((HEIGHT, WIDTH, 3), number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return tmp_path


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened from now on."""
    opened: list[str] = []
    original = Image.open

    def counted(path: Path, **options: object) -> Image.Image:
        opened.append(Path(path).name)
        return original(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", counted)
    return opened


def test_a_picture_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, opened = ImageFolder(folder, cache_mb=1, upright=False), decoded(monkeypatch)
    for number in (0, 1, 0, 1):
        found = images.load(record(number))
        assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
        assert (found == number).all()
    assert opened == ["0.png", "1.png"]


def test_the_longest_unused_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, opened = ImageFolder(folder, cache_mb=2.5 * MIB, upright=False), decoded(monkeypatch)
    for number in (0, 1, 0, 2, 0, 1):
        assert (images.load(record(number)) == number).all()
    assert opened == ["0.png", "1.png", "2.png", "1.png"]


def test_no_room_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (0.0, 0.5 * MIB):
        images = ImageFolder(folder, cache_mb=room, upright=False)
        with monkeypatch.context() as patch:
            opened = decoded(patch)
            images.load(record(0))
            images.load(record(0))
        assert opened == ["0.png", "0.png"]


def test_a_kept_picture_cannot_be_changed(folder: Path) -> None:
    images = ImageFolder(folder, cache_mb=1, upright=False)
    with pytest.raises(ValueError, match="read-only"):
        images.load(record(1))[:] = 0
    assert (images.load(record(1)) == 1).all()


def test_a_picture_of_another_size_is_named(folder: Path) -> None:
    images = ImageFolder(folder, cache_mb=1, upright=False)
    for wrong in (record(1, height=WIDTH, width=HEIGHT), record(1, width=WIDTH + 1)):
        with pytest.raises(InputError, match=r"1\.png: 64 high and 128 wide, but its dataset"):
            images.load(wrong)


def test_the_camera_turn_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[: HEIGHT // 2] = 200
    Image.fromarray(pixels).save(tmp_path / "0.png", exif=exif)
    assert np.array_equal(ImageFolder(tmp_path, cache_mb=1, upright=False).load(record(0)), pixels)


def test_the_camera_turn_is_applied_to_pictures_of_ones_own(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    pixels = np.zeros((WIDTH, HEIGHT, 3), dtype=np.uint8)
    pixels[:3] = 200
    Image.fromarray(pixels).save(tmp_path / "0.png", exif=exif)
    found = ImageFolder(tmp_path, cache_mb=1, upright=True).load(record(0))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert found[:, -3:].all() and not found[:, :-3].any()


def test_a_picture_that_is_missing_or_outside_is_named(folder: Path) -> None:
    images = ImageFolder(folder, cache_mb=1, upright=False)
    with pytest.raises(InputError, match=r"9\.png: no such file"):
        images.load(record(9))
    with pytest.raises(InputError, match="leads out"):
        images.load(ImageRecord("toy", 1, "../1.png", HEIGHT, WIDTH, "train"))
