"""What the named conventions are, and that each difference shows on a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation import CONVENTIONS, Convention, binarise_logits, convention
from pipeline.evaluation.readout import binarise_maps, read_responses, resize_masks
from pipeline.evaluation.scoring import score_image
from pipeline.evaluation.summary import averages
from pipeline.safety import InputError

Make = Callable[..., object]


def test_the_choices_of_each() -> None:
    choices = {
        c.name: (c.side, c.strict, c.empty_union, c.binarise, c.text) for c in CONVENTIONS.values()
    }
    assert choices == {
        "default": (None, False, "one", "positive", "sentence"),
        "tris": (None, False, "zero", "positive", "sentence"),
        "lavt": (480, False, "zero", "argmax", "raw"),
        "cris": (None, True, "epsilon", 0.35, "sentence"),
        "rela": (480, False, "zero", "argmax", "raw"),
    }


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="'voc' is unknown; known: default, tris, lavt"):
        convention("voc")


def scores(make_world: Make, say: Make, pairs: list, of: Convention, size: tuple) -> dict:
    """Figures of (prediction, truth) mask pairs under a convention, in percent."""
    world = make_world(size=size)
    for ref, (_, truth) in enumerate(pairs):
        world.refer(1, ref, truth, ["thing"])
    gt = world.ground_truth()
    rows = [(ref, 10 * ref, prediction) for ref, (prediction, _) in enumerate(pairs)]
    records = score_image(say(1, rows), gt.image(("toy", "val", 1)), of)
    return {name: r.percent() for name, r in averages(records, convention=of).items()}


def test_an_iou_at_the_threshold_passes_unless_strict(
    make_world: Make, say: Make, draw: Make
) -> None:
    size = (20, 20)
    pair = [(draw(size, 0, 0, 10, 5), draw(size, 0, 0, 10, 10))]  # IoU of exactly one half
    found = {n: scores(make_world, say, pair, c, size)["P@0.5"] for n, c in CONVENTIONS.items()}
    assert found == {"default": 100, "tris": 100, "lavt": 100, "cris": 0, "rela": 100}
    for strict, value in ((True, 0), (False, 100)):
        alike = replace(CONVENTIONS["default"], strict=strict)
        assert scores(make_world, say, pair, alike, size)["P@0.5"] == value


def test_the_empty_union(make_world: Make, say: Make, draw: Make) -> None:
    size = (20, 20)
    nothing = np.zeros(size, bool)
    pairs = [(nothing, nothing), (draw(size, 0, 0, 4, 4), draw(size, 0, 0, 4, 4))]
    found = {n: scores(make_world, say, pairs, c, size) for n, c in CONVENTIONS.items()}
    assert {n: f["mIoU"] for n, f in found.items()} == pytest.approx(
        {"default": 100, "tris": 50, "lavt": 50, "cris": 50, "rela": 50}
    )
    # gRefCOCO's own measures do not depend on it.
    assert {f["gIoU"] for f in found.values()} == {100}


def test_resolution(make_world: Make, say: Make, draw: Make) -> None:
    """At 480 x 480 each pixel of a wide image is stretched; IoU of a thin shape moves."""
    size = (7, 1000)
    pair = [(draw(size, 0, 0, 3, 7), draw(size, 0, 0, 4, 7))]
    original = scores(make_world, say, pair, CONVENTIONS["tris"], size)["mIoU"]
    resized = scores(make_world, say, pair, CONVENTIONS["lavt"], size)["mIoU"]
    assert original == pytest.approx(75)
    # Columns 1 and 3 are those under the centres of the first two of 480 columns.
    assert resized == pytest.approx(50)


@pytest.mark.parametrize(
    ("old", "new"),
    [((37, 53), (48, 48)), ((480, 640), (480, 480)), ((427, 640), (480, 480)), ((5, 5), (48, 31))],
)
def test_masks_are_resized_as_pillow_does(old: tuple[int, int], new: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(old) > 0.5
    image = Image.fromarray(mask.astype(np.uint8)).resize(new[::-1], Image.Resampling.NEAREST)
    assert np.array_equal(resize_masks(mask[None], new)[0], np.asarray(image) > 0)
    assert np.array_equal(resize_masks(mask[None], old)[0], mask)


def test_binarisation_of_maps() -> None:
    maps = np.array([[[0.0, 0.1, 0.35, 0.36, 0.5, 0.51, 1.0]]], np.float32)
    counts = {n: int(binarise_maps(maps, c.binarise).sum()) for n, c in CONVENTIONS.items()}
    # 0.35 in single precision lies just below the 0.35 that it is compared with.
    assert counts == {"default": 6, "tris": 6, "lavt": 2, "cris": 4, "rela": 2}


def test_binarisation_of_logits_is_that_of_probabilities() -> None:
    logits = np.linspace(-4, 4, 41, dtype=np.float32).reshape(1, 1, 41)
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert np.array_equal(binarise_logits(logits, 0.35), probability > 0.35)
    assert np.array_equal(binarise_logits(logits, "argmax"), logits > 0)
    assert np.array_equal(binarise_logits(logits, "positive"), logits > 0)


# -- response maps ---------------------------------------------------------------------------------


def bilinear(source: np.ndarray, size: tuple[int, int], align_corners: bool) -> np.ndarray:
    """Pixel by pixel, from the definition."""

    def at(index: int, old: int, new: int) -> tuple[int, int, float]:
        if align_corners:
            place = index * (old - 1) / (new - 1) if new > 1 else 0.0
        else:
            place = max((index + 0.5) * old / new - 0.5, 0.0)
        low = min(int(place), old - 1)
        return low, min(low + 1, old - 1), place - low

    result = np.zeros(size)
    for y in range(size[0]):
        y0, y1, fy = at(y, source.shape[0], size[0])
        for x in range(size[1]):
            x0, x1, fx = at(x, source.shape[1], size[1])
            upper = source[y0, x0] * (1 - fx) + source[y0, x1] * fx
            lower = source[y1, x0] * (1 - fx) + source[y1, x1] * fx
            result[y, x] = upper * (1 - fy) + lower * fy
    return result


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_reading_a_response_agrees_with_the_definition(name: str, rng: np.random.Generator) -> None:
    raw = rng.normal(size=(3, 4, 5)).astype(np.float16)
    found = read_responses(raw, size=(11, 9), input_size=(8, 8), convention=CONVENTIONS[name])
    for response, result in zip(raw.astype(np.float64), found, strict=True):
        if name == "tris":
            at_input = bilinear(response, (8, 8), False).clip(0)
            expected = bilinear(at_input, (11, 9), True)
        else:
            expected = bilinear(response.clip(0), (11, 9), name in ("lavt", "cris"))
        assert result == pytest.approx(expected / expected.max(), abs=1e-5)
        assert result.max() == 1


def test_where_the_response_is_rectified_decides_what_is_positive() -> None:
    raw = np.array([[[4.0, -4.0, -4.0, -4.0]]], np.float16)
    size = {"size": (1, 16), "input_size": (1, 16)}
    default, tris = (
        read_responses(raw, convention=CONVENTIONS[name], **size) for name in ("default", "tris")
    )
    assert (default > 0).sum() == 6  # up to the centre of the first negative cell
    assert (tris > 0).sum() == 4  # half way there


def test_without_an_input_size_the_step_through_it_falls_away() -> None:
    raw = np.random.default_rng(0).normal(size=(1, 3, 3)).astype(np.float16)
    found = read_responses(raw, size=(7, 7), input_size=None, convention=CONVENTIONS["tris"])
    expected = bilinear(raw[0].astype(np.float64), (7, 7), True).clip(0)
    assert found[0] == pytest.approx(expected / expected.max(), abs=1e-5)


def test_a_response_that_is_nowhere_positive_gives_nothing() -> None:
    for name in CONVENTIONS:
        raw = np.full((1, 3, 3), -1, np.float16)
        maps = read_responses(raw, size=(6, 6), input_size=(6, 6), convention=CONVENTIONS[name])
        assert not maps.any()
        assert not binarise_maps(maps, CONVENTIONS[name].binarise).any()
