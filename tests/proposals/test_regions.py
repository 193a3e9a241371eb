"""Neighbours and nested regions."""

import numpy as np

from pipeline.proposals.regions import build_hierarchy, neighbours


def test_neighbours_share_an_edge_not_a_corner() -> None:
    labels = np.array([[0, 0, 1], [2, 3, 1]])
    assert neighbours(labels).T.tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]


def test_similar_neighbours_merge_first() -> None:
    # A row of four atoms: two dark, two bright.
    edges = np.array([[0, 1, 2], [1, 2, 3]])
    sizes = np.array([10, 10, 10, 10])
    colours = np.array([[10.0], [12.0], [90.0], [91.0]]) * 10
    found = build_hierarchy(edges, sizes, colours, size_power=0.5)
    regions = [set(np.flatnonzero(row)) for row in found.members]
    assert regions[:4] == [{0}, {1}, {2}, {3}]
    assert {0, 1} in regions and {2, 3} in regions and {0, 1, 2, 3} in regions
    assert {1, 2} not in regions
    # The pairs stand out more than the atoms did; the last region is never absorbed.
    cost = dict(zip(map(frozenset, regions), found.absorbed, strict=True))
    assert cost[frozenset({0, 1})] > cost[frozenset({0})] > cost[frozenset({2})] > 0
    assert np.isinf(cost[frozenset({0, 1, 2, 3})])


def test_only_neighbours_merge_and_every_region_is_a_union_of_two() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(36).reshape(6, 6)
    edges = neighbours(labels)
    found = build_hierarchy(edges, np.full(36, 4), rng.random((36, 3)) * 4, size_power=0.75)
    assert len(found.members) == 2 * 36 - 1
    seen = {frozenset([k]) for k in range(36)}
    joined = {frozenset(pair) for pair in edges.T.tolist()}
    for row in found.members[36:]:
        region = frozenset(np.flatnonzero(row).tolist())
        halves = [part for part in seen if part < region and region - part in seen]
        assert halves
        assert any(frozenset({a, b}) in joined for a in halves[0] for b in region - halves[0])
        seen.add(region)


def test_equal_colours_end_in_one_region() -> None:
    labels = np.arange(20).reshape(4, 5)
    found = build_hierarchy(neighbours(labels), np.ones(20), np.ones((20, 3)), size_power=1.0)
    assert len(found.members) == 39
    assert found.members[-1].all()


def test_one_atom_is_its_own_hierarchy() -> None:
    found = build_hierarchy(
        neighbours(np.zeros((3, 3), dtype=int)), np.array([9]), np.array([[1.0]]), size_power=1.0
    )
    assert found.members.tolist() == [[True]]
