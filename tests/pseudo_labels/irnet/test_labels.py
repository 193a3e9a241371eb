"""What the network is told of a picture, and what it is not told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.pseudo_labels import CrfKernels
from pipeline.pseudo_labels.irnet import LabelRule
from pipeline.pseudo_labels.irnet.losses import IGNORE
from pipeline.safety import InputError
from tests.pseudo_labels.scenes import disc, two_discs
from tests.pseudo_labels.test_crf import textbook

KERNELS = CrfKernels(
    gaussian_sxy=3, gaussian_compat=3, bilateral_sxy=50, bilateral_srgb=5, bilateral_compat=10
)


def rule(**changes: Any) -> LabelRule:
    settings: dict[str, Any] = {
        "foreground": 0.3,
        "background": 0.1,
        "kernels": KERNELS,
        "iterations": 10,
        "gt_prob": 0.7,
    }
    return LabelRule(**(settings | changes))


def hill(y: float, x: float, width: float, height: int = 48, wide: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[:height, :wide]
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2)).astype(np.float32)


def test_one_referent_is_labelled_as_the_published_code_does() -> None:
    image, _, _ = two_discs()
    heat = hill(24, 16, 9)
    high, low = (textbook(image, heat > t, 10) > 0.5 for t in (0.3, 0.1))
    expected = np.where(high, 1, np.where(low, IGNORE, 0))
    assert np.array_equal(rule()(image, heat[None]), expected)


def test_referents_of_an_image_do_not_call_each_other_background() -> None:
    image, red, green = two_discs()
    labels = rule()(image, np.stack([red, green]).astype(np.float32) * 0.9)
    assert (labels[red] == 1).mean() > 0.9 and (labels[green] == 2).mean() > 0.9
    assert (labels[~red & ~green] == 0).mean() > 0.9


def test_doubt_is_not_told() -> None:
    """Between the thresholds nothing is sure, nor where two referents claim the same."""
    image, red, green = two_discs()
    maybe = rule()(image, (red * 1.0 + green * 0.2).astype(np.float32)[None])
    assert (maybe[red] == 1).mean() > 0.9 and (maybe[green] == IGNORE).mean() > 0.9
    same = rule()(image, np.stack([red, red]).astype(np.float32))
    assert (same[red] == IGNORE).mean() > 0.9 and (same[green] == 0).mean() > 0.9


def test_no_referent_and_no_evidence() -> None:
    image, _, _ = two_discs()
    assert (rule()(image, np.zeros((0, 48, 64), np.float32)) == IGNORE).all()
    assert (rule()(image, np.zeros((2, 48, 64), np.float32)) == 0).all()


def test_the_sides_are_disjoint_whatever_the_maps() -> None:
    image, _, _ = two_discs()
    maps = np.stack([hill(10, 40, 6), hill(30, 20, 12), disc(48, 64, 5, 5, 9) * 0.2])
    foreground, background = rule().sides(image, maps.astype(np.float32))
    assert foreground.shape == background.shape == maps.shape
    assert not (foreground & background).any()


def test_more_referents_than_numbers() -> None:
    with pytest.raises(InputError, match="255 referents"):
        rule()(np.zeros((2, 2, 3), np.uint8), np.zeros((255, 2, 2), np.float32))
