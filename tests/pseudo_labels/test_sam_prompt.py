"""What SAM is asked for a map, and which of its answers is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.pseudo_labels import REFINERS, SamPrompt, refine_image
from pipeline.pseudo_labels.sam_prompt import NOWHERE, boxes_above, overlaps, peaks, prompted_logits
from tests.pseudo_labels.scenes import NO_PROPOSALS, disc, state

SHAPE = (24, 32)
IMAGE = np.zeros((*SHAPE, 3), np.uint8)
SMALL, LARGE = disc(*SHAPE, 12, 8, 3), disc(*SHAPE, 12, 8, 6)
ELSEWHERE = disc(*SHAPE, 6, 25, 3)


class Answers:
    """Answers a small, a large and a foreign disc to every prompt, and keeps what was asked."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array(scores, dtype=np.float32)
        self.asked: list[dict[str, Any]] = []
        self.images = 0

    def look_at(self, image: NDArray[np.uint8]) -> None:
        self.images += 1

    def ask(self, **prompts: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.asked.append({name: value for name, value in prompts.items() if value is not None})
        count = len(next(iter(self.asked[-1].values())))
        masks = np.stack([SMALL, LARGE, ELSEWHERE])
        logits = np.where(masks, 4.0, -4.0).astype(np.float32)
        return np.repeat(logits[None], count, axis=0), np.repeat(self.scores[None], count, axis=0)


def refiner(sam: Answers, **changes: Any) -> SamPrompt:
    settings = {"prompt": "point", "choose": "score", "threshold": 0.5} | changes
    return SamPrompt(sam=sam, **settings)


def test_all_maps_of_an_image_share_one_look() -> None:
    sam = Answers(0.5, 0.9, 0.1)
    states = [state(SMALL * 1.0, LARGE * 0.5, ref_id=1), state(ELSEWHERE * 1.0, ref_id=2)]
    found = refine_image(IMAGE, states, NO_PROPOSALS, [refiner(sam)])
    assert sam.images == 1 and len(sam.asked) == 1
    assert [len(one.mask) for one in found if one.mask is not None] == [2, 1]
    for one in found:
        assert one.mask is not None and all(np.array_equal(mask, LARGE) for mask in one.mask)
    assert found[0].source == ("map/sam:point",) * 2
    assert np.array_equal(found[1].soft, states[1].soft)


@pytest.mark.parametrize(
    ("choose", "expected"), [("score", ELSEWHERE), ("first", SMALL), ("overlap", LARGE)]
)
def test_the_choice_among_three_masks(choose: str, expected: NDArray[np.bool_]) -> None:
    sam = Answers(0.2, 0.3, 0.9)
    found = refine_image(IMAGE, [state(LARGE * 1.0)], NO_PROPOSALS, [refiner(sam, choose=choose)])
    assert np.array_equal(found[0].label(0)[0], expected)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("point", {"points"}),
        ("box", {"boxes"}),
        ("mask", {"masks"}),
        ("point_and_mask", {"points", "masks"}),
    ],
)
def test_what_is_asked(prompt: str, names: set[str]) -> None:
    sam = Answers(0.2, 0.3, 0.9)
    evidence = SMALL * 0.4
    evidence[11, 9] = 0.8
    refine_image(IMAGE, [state(evidence)], NO_PROPOSALS, [refiner(sam, prompt=prompt)])
    (asked,) = sam.asked
    assert set(asked) == names
    if "points" in names:
        assert asked["points"].tolist() == [[9, 11]]
    if "boxes" in names:  # above half of the maximum there is the peak alone
        assert asked["boxes"].tolist() == [[9, 11, 9, 11]]
    if "masks" in names:
        assert np.array_equal(asked["masks"], evidence[None].astype(np.float32))


def test_a_map_of_nothing_gets_no_mask() -> None:
    sam = Answers(0.2, 0.3, 0.9)
    found = refine_image(
        IMAGE, [state(SMALL * 0.0, SMALL * 1.0)], NO_PROPOSALS, [refiner(sam, choose="first")]
    )[0]
    assert not found.label(0)[0].any() and np.array_equal(found.label(1)[0], SMALL)
    assert len(sam.asked[0]["points"]) == 1
    silent = Answers(0.2, 0.3, 0.9)
    refine_image(IMAGE, [state(SMALL * 0.0)], NO_PROPOSALS, [refiner(silent)])
    assert silent.images == 0 and not silent.asked
    assert refine_image(IMAGE, [], NO_PROPOSALS, [refiner(silent)]) == []


def test_logits_of_nothing_are_nowhere() -> None:
    maps = np.zeros((1, *SHAPE), dtype=np.float32)
    logits = prompted_logits(
        Answers(1, 1, 1), IMAGE, maps, prompt="point", choose="first", threshold=0.5
    )
    assert (logits == NOWHERE).all()


def test_peaks_boxes_and_overlaps() -> None:
    maps = np.zeros((2, 4, 5), dtype=np.float32)
    maps[0, 1, 3], maps[0, 2, 1], maps[1, 3, 0] = 0.5, 0.3, 0.2
    assert peaks(maps).tolist() == [[3, 1], [0, 3]]
    assert boxes_above(maps, 0.5).tolist() == [[1, 1, 3, 2], [0, 3, 0, 3]]
    assert boxes_above(maps, 0.7).tolist() == [[3, 1, 3, 1], [0, 3, 0, 3]]
    masks = np.zeros((2, 2, 4, 5), dtype=np.bool_)
    masks[0, 0, 1, 3] = masks[0, 1] = True
    shared = overlaps(masks, maps)
    np.testing.assert_allclose(shared[0], [0.5 / (1 + 0.8 - 0.5), 0.8 / 20], atol=1e-6)
    assert (shared[1] == 0).all()


def test_it_is_a_refiner_of_the_configuration() -> None:
    assert REFINERS["sam_prompt"] is SamPrompt
