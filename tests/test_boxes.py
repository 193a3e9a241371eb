"""BoxAcc: boxes of masks as OpenCV finds them, TRIS's filtering of them, and IoU of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label, regionprops

from pipeline import boxes

# Masks with the boxes (x1, y1, x2, y2) that matplotlib's colouring, OpenCV 5's findContours and
# torchvision's NMS, called as TRIS calls them, keep of them. In turn: a box of low score falls
# away; a hole has a box of its own; the overlap filter, misreading sides as corners, drops one
# (twice); of two equal scores the lower box is asked first.
AS_PUBLISHED: list[tuple[str, list[tuple[int, int, int, int]]]] = [
    (
        """
        ##............
        #.............
        ###...........
        ###..........#
        ##.......#####
        ##..#.########
        ..####.......#
        ..###.........
        #..##.#.##....
        ...####.##....
        """,
        [(8, 8, 10, 10), (0, 8, 1, 9)],
    ),
    (
        """
        ##..########.#
        ############.#
        ###...####..##
        ....######..##
        ##..#######...
        ##..########..
        #..####..##...
        #..##....###..
        #.###..##.##..
        #..##..#####..
        """,
        [(8, 7, 11, 10), (0, 4, 2, 10), (0, 0, 14, 10)],
    ),
    (
        """
        ############..
        #..###..####..
        #..##...##....
        #.####.###....
        #############.
        ####..#######.
        .###..#######.
        .############.
        ..##..##..#.#.
        ..###.#.....#.
        """,
        [(4, 0, 9, 5), (3, 4, 7, 8), (0, 0, 4, 5)],
    ),
    (
        """
        ....#######.##
        ..##...#######
        .###...###....
        #..#.###.##.##
        .####........#
        ..#...#..#####
        .##...###...#.
        ..#..####...##
        ...#######.#.#
        ####.##.###...
        """,
        [(0, 2, 4, 5), (8, 5, 13, 10), (0, 0, 14, 10)],
    ),
    (
        """
        ..........
        .####.....
        .#....#...
        .#....#...
        ...###....
        ...###....
        ..........
        ..........
        """,
        [(3, 2, 7, 6)],
    ),
]
MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def drawn(picture: str) -> np.ndarray:
    rows = picture.split()
    return np.array([[cell == "#" for cell in row] for row in rows])


@pytest.mark.parametrize(("picture", "kept"), AS_PUBLISHED)
def test_kept_boxes_are_those_of_the_published_code(
    picture: str, kept: list[tuple[int, int, int, int]]
) -> None:
    found = boxes.mask_boxes(drawn(picture))
    assert sorted(map(tuple, found.tolist())) == sorted(kept)


@settings(deadline=None)
@given(MASKS)
def test_contours_agree_with_another_labelling(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    expected = []
    for region in regionprops(label(padded, connectivity=2)):
        y1, x1, y2, x2 = region.bbox
        expected.append((x1 - 1, y1 - 1, x2 - x1, y2 - y1))
    gaps = label(~padded, connectivity=1)
    for region in regionprops(gaps):
        if region.label != gaps[0, 0]:
            y1, x1, y2, x2 = region.bbox
            expected.append((x1 - 2, y1 - 2, x2 - x1 + 2, y2 - y1 + 2))
    assert sorted(map(tuple, boxes.contour_boxes(mask).tolist())) == sorted(expected)


def test_diagonal_neighbours_are_one_part_but_two_holes() -> None:
    parts = drawn("#... .#.. .... ...#")
    assert sorted(map(tuple, boxes.contour_boxes(parts).tolist())) == [(0, 0, 2, 2), (3, 3, 1, 1)]
    holes = drawn("#### #.## ##.# ####")
    found = sorted(map(tuple, boxes.contour_boxes(holes).tolist()))
    assert found == [(0, 0, 3, 3), (0, 0, 4, 4), (1, 1, 3, 3)]


@settings(deadline=None)
@given(st.integers(1, 25), st.integers(0, 2**32 - 1))
def test_suppression_agrees_with_torchvision(count: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    nms = pytest.importorskip("torchvision.ops").nms
    rng = np.random.default_rng(seed)
    # Sides as corners, as TRIS calls it: areas of every sign, and ties among the scores.
    found = rng.integers(0, 12, (count, 4)).astype(np.float32)
    scores = rng.choice([0.25, 0.5, 0.75, 1.0], count).astype(np.float32)
    expected = nms(torch.from_numpy(found), torch.from_numpy(scores), boxes.OVERLAP_LIMIT)
    assert boxes._suppress(found, scores).tolist() == expected.tolist()


def test_an_overlap_at_the_limit_suppresses() -> None:
    """5 / (5 + 100 - 5) is 0.05, which as a float32 is a little more."""
    found = np.array([[4, 0, 5, 5], [1, 0, 11, 10]], dtype=np.float32)
    scores = np.array([1, 0.5], dtype=np.float32)
    assert boxes._suppress(found, scores).tolist() == [0]


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_of_nothing_or_of_everything_has_no_box(value: bool) -> None:
    mask = np.full((5, 6), value)
    assert boxes.mask_boxes(mask).shape == (0, 4)
    assert not boxes.box_accurate(mask, [0, 0, 6, 5])


def test_truth_boxes_cut_each_number_before_they_add() -> None:
    # 10.9 + 5.9 = 16.8, yet TRIS says 10 + 5 = 15.
    assert boxes.truth_boxes([10.9], [3.2], [5.9], [4.0]).tolist() == [[10, 3, 15, 7]]
    assert boxes.truth_boxes(1.5, 2.5, 3.0, 4.0).tolist() == [[1, 2, 4, 6]]


def test_box_iou_by_hand() -> None:
    found = boxes.box_iou([[0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [0, 0, 0, 0]], [0, 0, 4, 4])
    assert found == pytest.approx([1, 1 / 3, 0, 0])


def test_box_accuracy_needs_more_than_one_half() -> None:
    mask = np.zeros((10, 10), bool)
    mask[0:4, 0:4] = True
    assert not boxes.box_accurate(mask, [0, 0, 4, 8])  # IoU of exactly 1/2
    assert boxes.box_accurate(mask, [0, 0, 4, 7])


def test_any_box_that_is_kept_may_be_the_right_one() -> None:
    mask = np.zeros((20, 40), bool)
    mask[2:8, 2:8] = mask[10:18, 20:36] = True
    assert boxes.box_accurate(mask, [2, 2, 8, 8])
    assert boxes.box_accurate(mask, [20, 10, 36, 18])
    assert not boxes.box_accurate(mask, [2, 2, 36, 18])  # no box is drawn around both


@settings(deadline=None)
@given(MASKS, st.tuples(*[st.integers(0, 8)] * 4))
def test_accuracy_is_of_the_kept_boxes(mask: np.ndarray, corners: tuple[int, ...]) -> None:
    x1, y1, wide, high = corners
    truth = [x1, y1, x1 + wide + 1, y1 + high + 1]
    best = boxes.box_iou(boxes.mask_boxes(mask), truth)
    assert boxes.box_accurate(mask, truth) == bool((best > 0.5).any())


@given(mask=hnp.arrays(np.bool_, (7, 9)), top=st.integers(0, 5), left=st.integers(0, 5))
def test_boxes_move_with_the_mask(mask: np.ndarray, top: int, left: int) -> None:
    """Only the mask's own box is searched: empty rows and columns around it change nothing."""
    placed = np.pad(mask, ((top, 5 - top), (left, 5 - left)))
    moved = boxes.contour_boxes(mask) + np.array([left, top, 0, 0])
    assert boxes.contour_boxes(placed).tolist() == moved.tolist()
