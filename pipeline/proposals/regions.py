"""A hierarchy of nested regions: neighbours of an over-segmentation merged until one is left.

Legend: n atoms (the regions of the over-segmentation), m current regions, e edges, C channels,
M = regions of the whole hierarchy, atoms included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """members: (M, n) bool, the atoms of each region; the first n rows are the atoms themselves.

    absorbed: (M,) cost of the merge by which each region lost itself in a larger one; infinite for
    the last. A region that differs from all its neighbours has a high cost.
    """

    members: NDArray[np.bool_]
    absorbed: Floats


def neighbours(labels: NDArray[np.integer]) -> Ints:
    """Pairs (2, e) of labels that share a pixel edge, smaller label first, each pair once.

    ``labels``: (H, W) with values 0 .. n-1.
    """
    count = int(labels.max()) + 1
    wide = labels.astype(np.int64)
    sides = ((wide[:, 1:], wide[:, :-1]), (wide[1:], wide[:-1]))
    keys = [np.minimum(a, b).ravel() * count + np.maximum(a, b).ravel() for a, b in sides]
    return _split(np.unique(np.concatenate(keys)), count)


def build_hierarchy(edges: Ints, sizes: Ints, colours: Floats, *, size_power: float) -> Hierarchy:
    """Merges, in rounds, every two regions that are each other's cheapest neighbour.

    The cost of a merge is ``|mean_i - mean_j|^2 * (s_i s_j / (s_i + s_j)) ^ size_power`` with
    sizes s in pixels: 1 is Ward's criterion (small regions go first), 0 compares colours alone.
    Mutual nearest neighbours merge at once, in some twenty rounds instead of n - 1 steps; the
    result is that of the one-by-one method wherever no merge makes a third region cheaper.

    Args:
        edges: (2, e) pairs of neighbouring atoms, as :func:`neighbours` gives them.
        sizes: (n,) pixels of each atom.
        colours: (n, C) sum of the pixels' colours in each atom.
        size_power: see above.
    """
    atoms = len(sizes)
    size, colour = sizes.astype(np.float64), colours.astype(np.float64)
    region_of_atom = np.arange(atoms)
    node_of_region = np.arange(atoms)
    members = [np.eye(atoms, dtype=np.bool_)]
    absorbed = np.full(2 * atoms - 1, np.inf)
    nodes = atoms
    while edges.shape[1]:
        first, second = edges
        mean = colour / size[:, None]
        gap = mean[first] - mean[second]
        joint = size[first] * size[second] / (size[first] + size[second])
        cost = (gap * gap).sum(axis=1) * joint**size_power
        nearest = _cheapest(edges, cost, len(size))
        mutual = (nearest[first] == second) & (nearest[second] == first)
        into, gone = first[mutual], second[mutual]
        absorbed[node_of_region[into]] = absorbed[node_of_region[gone]] = cost[mutual]

        size[into] += size[gone]
        colour[into] += colour[gone]
        stays = np.ones(len(size), dtype=np.bool_)
        stays[gone] = False
        renamed = np.cumsum(stays) - 1
        renamed[gone] = renamed[into]
        size, colour, node_of_region = size[stays], colour[stays], node_of_region[stays]
        region_of_atom = renamed[region_of_atom]
        node_of_region[renamed[into]] = np.arange(nodes, nodes + len(into))
        nodes += len(into)
        members.append(region_of_atom[None, :] == renamed[into][:, None])

        ends = np.sort(renamed[edges], axis=0)
        edges = _split(np.unique(ends[0] * len(size) + ends[1]), len(size))
    return Hierarchy(members=np.concatenate(members), absorbed=absorbed[:nodes])


def _split(keys: Ints, count: int) -> Ints:
    """Keys ``a * count + b`` -> pairs (2, e) without those of a region with itself."""
    pairs = np.stack(np.divmod(keys, count))
    return pairs[:, pairs[0] != pairs[1]]


def _cheapest(edges: Ints, cost: Floats, count: int) -> Ints:
    """(m,) the neighbour with the lowest cost of each region; of equal ones the lowest number.

    That tie rule leaves at least one mutual pair, so that a round always merges something.
    """
    here = np.concatenate([edges[0], edges[1]])
    there = np.concatenate([edges[1], edges[0]])
    order = np.lexsort((there, np.concatenate([cost, cost]), here))
    begins = np.flatnonzero(np.diff(here[order], prepend=-1))
    nearest = np.full(count, -1, dtype=np.int64)
    nearest[here[order][begins]] = there[order][begins]
    return nearest
