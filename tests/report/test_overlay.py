"""Drawing on pictures: sizes, what changes and what must not."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report import overlay

SHAPES = [(1, 1), (1, 40), (40, 1), (7, 300), (64, 48)]


def picture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def disc(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows - shape[0] // 2) ** 2 + (columns - shape[1] // 2) ** 2 <= min(shape) ** 2 / 9


@pytest.mark.parametrize("shape", SHAPES)
def test_every_drawing_keeps_the_size_and_its_input(shape: tuple[int, int]) -> None:
    image, mask = picture(shape), disc(shape)
    before = image.copy()
    image.flags.writeable = False
    for drawn in (
        overlay.tinted(image, mask, overlay.PREDICTION),
        overlay.shown(image, mask, overlay.PREDICTION),
        overlay.outlined(image, mask, overlay.TRUTH),
        overlay.heated(image, mask.astype(np.float32)),
        overlay.with_peak(image, 0, shape[0] - 1),
    ):
        assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert np.array_equal(image, before)


@pytest.mark.parametrize("empty", [np.zeros((20, 30), bool), np.ones((20, 30), bool)])
def test_empty_and_full_masks(empty: np.ndarray) -> None:
    image = picture((20, 30))
    drawn = overlay.outlined(image, empty, overlay.TRUTH)
    changed = (drawn != image).any(axis=2)
    assert not changed.any() if not empty.any() else changed.sum() < changed.size


def test_a_tint_stays_within_mask_and_halo() -> None:
    image, mask = picture((64, 64)), disc((64, 64))
    drawn = overlay.tinted(image, mask, (255, 0, 0))
    far = np.hypot(*(np.indices((64, 64)) - 32)) > 64 / 3 + 3
    assert np.array_equal(drawn[far], image[far])
    assert (drawn[32, 32].astype(int) - image[32, 32])[0] >= 0


def test_no_heat_is_grey_and_heat_is_not() -> None:
    image = picture((8, 8))
    heat = np.zeros((8, 8), np.float32)
    heat[2, 3] = 1
    drawn = overlay.heated(image, heat).astype(int)
    spread = drawn.max(axis=2) - drawn.min(axis=2)
    assert spread[2, 3] > 50 and np.delete(spread.ravel(), 2 * 8 + 3).max() == 0


def test_points_follow_their_picture() -> None:
    """The brightest pixel is still under its point after a change of size."""
    image = np.zeros((20, 40, 3), np.uint8)
    image[5, 30] = 255
    for side in (10, 40, 160):
        resized = overlay.fitted(image, side)
        x, y = overlay.fitted_point(30, 5, image.shape, side)
        top = resized[..., 0].argmax()
        row, column = divmod(int(top), resized.shape[1])
        assert abs(column - x) <= max(1, side / 40) and abs(row - y) <= max(1, side / 40)


def test_masks_keep_their_share() -> None:
    mask = disc((50, 80))
    assert overlay.fitted_mask(mask, 240).mean() == pytest.approx(mask.mean(), rel=0.02)


@pytest.mark.parametrize(
    "text", ["short", "word " * 300, "x" * 500, "שלום 世界 🙂 <b>", "tab\tand\nline"]
)
def test_captions_fit(text: str) -> None:
    drawn = overlay.captioned(picture((10, 1)), text, width=120, text_size=12)
    assert drawn.shape[1] == 120 and 10 < drawn.shape[0] < 10 + 12 * 1.4 * 9 + 12
    font = overlay.font_of(12)
    assert all(
        font.getlength(line.rstrip(" …")) <= 108 for line in overlay.wrapped(text, font, 108)
    )


def test_a_mask_becomes_black_and_white() -> None:
    mask = disc((9, 5))
    image = Image.open(io.BytesIO(overlay.encoded(mask, "png")))
    assert image.mode == "L" and np.array_equal(np.asarray(image), mask * np.uint8(255))
