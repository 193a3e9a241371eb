"""Cells by where they point, evidence by instance, masks and what is dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline.pseudo_labels.irnet import InstanceRule
from pipeline.pseudo_labels.irnet.instances import (
    cell_means,
    enlarged,
    group_cells,
    refined_centres,
    split,
)
from tests.pseudo_labels.scenes import disc, iou

SIZE = (24, 32)  # cells
STRIDE = 4


def rule(**changes: Any) -> InstanceRule:
    settings: dict[str, Any] = {
        "refinements": 300,
        "weak": 2.5,
        "radius": 5,
        "beta": 10.0,
        "exp_times": 8,
        "tolerance": 1e-8,
        "background": 0.25,
        "fragment": 0.01,
        "keep": "all",
    }
    return InstanceRule(**(settings | changes))


def pointing(*centres: tuple[float, float]) -> np.ndarray:
    """Every cell points to the nearest centre."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.stack([np.stack([y - rows, x - columns]) for y, x in centres])
    nearest = np.hypot(away[:, 0], away[:, 1]).argmin(axis=0)
    found: np.ndarray = np.take_along_axis(away, nearest[None, None], axis=0)[0]
    return found.astype(np.float32)


def boxes(cells: np.ndarray) -> np.ndarray:
    return cells.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)


def walls(*things: np.ndarray) -> np.ndarray:
    """Edges of 1 on the rim outside each thing."""
    edge = np.zeros(SIZE, dtype=np.float32)
    for thing in things:
        grown = np.pad(thing, 1)
        near = grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:]
        edge[near & ~thing] = 1
    return edge


def test_cells_of_one_centre_are_one_instance() -> None:
    ids = group_cells(pointing((12, 7), (12, 24)), refinements=300, weak=2.5)
    assert ids.shape == SIZE and set(np.unique(ids)) == {0, 1}
    assert len(set(ids[:, :15].ravel())) == 1 and len(set(ids[:, 17:].ravel())) == 1
    assert ids[0, 0] != ids[0, -1]


def test_centres_are_refined_step_by_step() -> None:
    """A field that goes only a third of the way arrives after some steps, not after one."""
    field = torch.from_numpy(pointing((12, 16))) / 3
    once, late = refined_centres(field, 1), refined_centres(field, 300)
    assert (late - torch.tensor([12.0, 16.0])[:, None, None]).abs().max() < 1e-3
    torch.testing.assert_close(once[:, 0, 0], torch.tensor([4.0, 16 / 3]))


def test_centres_stay_in_the_map_and_are_read_between_cells() -> None:
    out = torch.full((2, 3, 5), -50.0)
    assert (refined_centres(out, 300) == 0).all()
    ramp = torch.zeros(2, 1, 5)
    ramp[1] = torch.tensor([0.5, 1.0, 0.0, 0.0, 0.0])
    # 0 -> 0.5 -> 0.5 + (0.5 + 1) / 2
    torch.testing.assert_close(refined_centres(ramp, 2)[1, 0, 0], torch.tensor(1.25))


@pytest.mark.parametrize("strength", [0.0, 9.0])
def test_one_weak_region_or_none_is_one_instance(strength: float) -> None:
    field = np.full((2, *SIZE), strength, dtype=np.float32)
    assert (group_cells(field, refinements=10, weak=2.5) == 0).all()


def test_parts_keep_their_expression_and_add_up() -> None:
    ids = np.repeat([[0, 1, 2]], 4, axis=0).astype(np.int32)
    maps = np.random.default_rng(0).random((3, 4, 3)).astype(np.float32)
    maps[1] = 0
    maps[2, :, 1] = 0
    owner, parts = split(maps, ids)
    assert owner.tolist() == [0, 0, 0, 2, 2]
    for place in range(3):
        assert np.array_equal(parts[owner == place].sum(axis=0), maps[place])
    owner, parts = split(maps[:0], ids)
    assert owner.shape == (0,) and parts.shape == (0, 4, 3)


def test_cells_and_pixels() -> None:
    maps = np.arange(2 * 6 * 7, dtype=np.float32).reshape(2, 6, 7)
    cells = cell_means(maps, 4)
    assert cells.shape == (2, 2, 2)
    assert cells[0, 0, 0] == maps[0, :4, :4].mean() and cells[1, 1, 1] == maps[1, 4:, 4:].mean()
    assert enlarged(cells, (6, 7), 4).shape == maps.shape
    ones = np.ones((1, 2, 2), np.float32)
    assert (enlarged(ones, (6, 7), 4) == 1).all()


def test_evidence_grows_to_the_walls_of_its_instance() -> None:
    left, right = disc(*SIZE, 12, 7, 6), disc(*SIZE, 12, 24, 6)
    edge, field = walls(left, right), pointing((12, 7), (12, 24))
    seeds = np.stack([boxes(disc(*SIZE, 10, 6, 2)), boxes(disc(*SIZE, 13, 25, 2))])
    soft, masks = rule()(seeds.astype(np.float32), edge, field, stride=STRIDE)
    assert soft.dtype == np.float32 and masks.dtype == np.bool_
    assert soft.min() >= 0 and soft.max() <= 1 + 1e-6
    for mask, thing in zip(masks, (left, right), strict=True):
        assert iou(mask, boxes(thing)) > 0.8
    alone, _ = rule()(seeds[1:].astype(np.float32), edge, field, stride=STRIDE)
    np.testing.assert_allclose(alone[0], soft[1], atol=1e-6)


def two_instances(left_share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One expression whose evidence lies on two things, with walls between them."""
    left, right = disc(*SIZE, 12, 7, 6), disc(*SIZE, 12, 24, 6)
    evidence = boxes(left) * left_share + boxes(right) * 1.0
    return evidence.astype(np.float32)[None], walls(left, right), pointing((12, 7), (12, 24))


def test_all_pieces_or_the_best() -> None:
    case = two_instances(0.6)
    (both,), (best,) = (rule(keep=keep)(*case, stride=STRIDE)[1] for keep in ("all", "best"))
    left, right = boxes(disc(*SIZE, 12, 7, 6)), boxes(disc(*SIZE, 12, 24, 6))
    assert iou(both, left | right) > 0.8 and iou(best, right) > 0.8
    weak = rule()(*two_instances(0.2), stride=STRIDE)[1][0]
    assert iou(weak, right) > 0.8


def test_fragments_are_dropped_unless_nothing_else_is_left() -> None:
    regions = np.zeros((20, 50), dtype=np.int32)
    regions[2:10, 2:10], regions[15, 20:25], regions[15, 40:43] = 1, 1, 2
    sizes = [int(piece.sum()) for piece in rule().pieces(regions)]
    assert sizes == [64]
    assert sorted(int(piece.sum()) for piece in rule(fragment=0.005).pieces(regions)) == [5, 64]
    regions[2:10] = 0
    assert [int(piece.sum()) for piece in rule().pieces(regions)] == [5]
    assert rule().pieces(regions * 0) == []


@pytest.mark.parametrize("keep", ["all", "best"])
def test_no_evidence_no_expression_and_evidence_on_edges(keep: str) -> None:
    maps, edge, field = two_instances(1)
    nothing = maps * 0
    soft, masks = rule(keep=keep)(
        np.concatenate([nothing, maps, nothing]), edge, field, stride=STRIDE
    )
    assert not soft[[0, 2]].any() and not masks[[0, 2]].any() and masks[1].any()
    soft, masks = rule(keep=keep)(maps[:0], edge, field, stride=STRIDE)
    assert soft.shape == masks.shape == (0, 96, 128)
    soft, masks = rule(keep=keep)(maps, edge * 0 + 1, field, stride=STRIDE)
    assert not soft.any() and not masks.any()


def test_images_that_are_not_whole_cells() -> None:
    maps, edge, field = two_instances(1)
    soft, masks = rule()(maps[:, :94, :125], edge, field, stride=STRIDE)
    assert soft.shape == masks.shape == (1, 94, 125)
    one = rule()(np.ones((1, 2, 3), np.float32), edge[:1, :1] * 0, field[:, :1, :1], stride=STRIDE)
    assert one[1].all()
