"""PCNet's filter on what a mask generator finds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.proposals import PROPOSERS, propose_by_sam

IMAGE = np.zeros((20, 30, 3), dtype=np.uint8)


class Found:
    """A generator that has found these boxes (rows, columns) with these scores."""

    def __init__(self, *boxes: tuple[slice, slice], scores: list[float]) -> None:
        self.found = np.zeros((len(boxes), 20, 30), dtype=np.bool_)
        for mask, box in zip(self.found, boxes, strict=True):
            mask[box] = True
        self.scores = np.array(scores, dtype=np.float32)

    def masks(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        return self.found, self.scores


SMALL = np.s_[0:2, 0:2]
MEDIUM = np.s_[5:10, 0:10]
NEARLY_MEDIUM = np.s_[5:10, 0:11]
LARGE = np.s_[0:20, 10:30]


def proposed(found: Found, keep: int = 40) -> list[tuple[int, float]]:
    masks = propose_by_sam(IMAGE, sam=found, minimum_area=5, maximum_overlap=0.8, keep=keep)
    return [(int(mask.sum()), round(score, 2)) for mask, score in masks]


def test_small_masks_and_the_worse_of_two_alike_are_dropped_and_the_largest_come_first() -> None:
    found = Found(SMALL, MEDIUM, NEARLY_MEDIUM, LARGE, scores=[0.99, 0.8, 0.9, 0.75])
    assert proposed(found) == [(400, 0.75), (55, 0.9)]


def test_the_largest_are_kept() -> None:
    found = Found(MEDIUM, LARGE, scores=[0.9, 0.75])
    assert proposed(found, keep=1) == [(400, 0.75)]


def test_nothing_found_is_nothing_proposed() -> None:
    assert proposed(Found(scores=[])) == []


def test_it_is_a_method_of_the_configuration() -> None:
    assert PROPOSERS["sam"] is propose_by_sam
