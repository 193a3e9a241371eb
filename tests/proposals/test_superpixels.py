"""Proposals on drawn images with a known object."""

from typing import Any

import numpy as np
import pytest

from pipeline.proposals import PROPOSERS, propose
from pipeline.safety import InputError

SETTINGS: dict[str, Any] = {
    "working_side": 128,
    "scale": 20.0,
    "sigma": 0.5,
    "atom_size": 10,
    "medians": [2, 4],
    "size_power": 0.75,
    "minimum_area": 40,
    "maximum_share": 0.5,
    "maximum_overlap": 0.8,
    "keep": 40,
}


def striped_disc(height: int = 96, width: int = 112) -> tuple[np.ndarray, np.ndarray]:
    """A disc of orange and black stripes on noisy teal."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    disc = (y - 0.5 * height) ** 2 + (x - 0.4 * width) ** 2 < (0.2 * height) ** 2
    image = np.broadcast_to([40.0, 130, 120], (height, width, 3)).copy()
    ink = (x + y) % 6 < 2
    image[disc] = [220, 120, 20]
    image[disc & ink] = [40, 25, 10]
    return (image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8), disc


def best_overlap(found: list[tuple[np.ndarray, float]], truth: np.ndarray) -> float:
    return max(np.sum(mask & truth) / np.sum(mask | truth) for mask, _ in found)


def test_a_textured_object_is_one_proposal() -> None:
    image, disc = striped_disc()
    assert best_overlap(propose(image, **SETTINGS), disc) > 0.85


def test_without_a_median_the_texture_falls_apart() -> None:
    image, disc = striped_disc()
    plain = propose(image, **SETTINGS | {"medians": [0]})
    assert best_overlap(plain, disc) < best_overlap(propose(image, **SETTINGS), disc)


def test_limits_hold_and_the_best_comes_first() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
    limits = {"keep": 12, "minimum_area": 60, "maximum_overlap": 0.6, "maximum_share": 0.3}
    found = propose(image, **SETTINGS | limits)
    masks = np.stack([mask for mask, _ in found])
    scores = [score for _, score in found]
    assert masks.shape[1:] == (64, 80) and masks.dtype == np.bool_
    assert 0 < len(found) <= 12
    areas = masks.sum(axis=(1, 2))
    assert areas.min() >= 60 and areas.max() <= 0.3 * 64 * 80
    assert scores == sorted(scores, reverse=True) and 0 < min(scores) <= max(scores) <= 1
    for i, a in enumerate(masks):
        assert all(np.sum(a & b) <= 0.6 * np.sum(a | b) for b in masks[:i])


def test_the_same_image_gives_the_same_proposals() -> None:
    image, _ = striped_disc()
    first, second = propose(image, **SETTINGS), propose(image.copy(), **SETTINGS)
    assert [score for _, score in first] == [score for _, score in second]
    assert all((a == b).all() for (a, _), (b, _) in zip(first, second, strict=True))


def test_a_large_image_is_segmented_small_and_answered_large() -> None:
    image, disc = striped_disc()
    large, truth = (np.repeat(np.repeat(x, 3, axis=0), 3, axis=1) for x in (image, disc))
    found = propose(large, **SETTINGS | {"working_side": 112})
    assert found[0][0].shape == truth.shape
    assert best_overlap(found, truth) > 0.85


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 3), (20, 20)])
def test_plain_and_tiny_images_may_have_no_proposals(shape: tuple[int, int]) -> None:
    assert propose(np.full((*shape, 3), 90, dtype=np.uint8), **SETTINGS) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="RGB"):
        propose(image, **SETTINGS)


def test_the_registry_names_the_method() -> None:
    assert PROPOSERS["superpixels"] is propose
