"""The random walk that spreads evidence up to the edges (IRNet; Ahn et al., CVPR 2019).

Cells nearer than a radius are joined with the weight `affinity^beta`, each cell with itself with
weight 1. Normalised by columns that is a transition matrix T; a map as a row x becomes x T^t, with
t = 2^exp_times steps. The published code builds T of (n, n) and squares it. Here T^t never exists:
T has at most a hundred or so entries a column, and only its products with the maps are wanted.

Fewer products than steps do: with T_k the Chebyshev polynomials,

    z^t = sum_k c_k T_k(z),    c_k = P(|S_t| = k),    S_t a walk of t steps of +1 or -1,

whose terms fall off like a Gaussian of variance t. As |T_k| <= 1 on [-1, 1], where the eigenvalues
of T lie, what is left out beyond degree d is at most `P(|S_t| > d)` of the map, in the norm that
weights each cell by its sum of weights, in which T is symmetric (Sachdeva and Vishnoi, 2014,
section 3). For 256 steps and a bound of 1e-8 that is degree 90 instead of 256.

All is in double precision: a cell between edges keeps almost all of its value in a step, and the
rounding of a float32 column's sum, to the power of 256, alone costs 1e-4.

Legend: R maps, h w cells, n = h * w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.pseudo_labels.irnet.paths import paths_within
from pipeline.pseudo_labels.state import Maps

_SIZES = 4  # kept structures, some 7 MB each at 160 x 120 cells; images of a set come in few sizes


class RandomWalk:
    """The transitions of one edge map, for any number of maps and steps."""

    def __init__(self, edge: NDArray[np.float32], *, radius: int, beta: float) -> None:
        """
        Args:
            edge: (h, w) in [0, 1], the probability of an edge.
            radius: in cells; neighbours are nearer than that (IRNet: 5).
            beta: exponent of the affinities; larger stops at weaker edges (IRNet: 10).
        """
        self.edge = np.asarray(edge, dtype=np.float32)
        height, width = self.edge.shape
        self.structure = neighbourhood(height, width, radius)
        starts = self.structure.starts
        weights = self.structure.weights(self.edge, beta)
        weights /= np.repeat(np.add.reduceat(weights, starts[:-1]), np.diff(starts))
        # x T is a product from the left with the transpose of T: its rows are T's columns
        self.transposed = csr_array(
            (weights, self.structure.columns, starts), shape=(height * width,) * 2
        )

    def spread(self, maps: Maps, *, exp_times: int, tolerance: float) -> Maps:
        """Maps (R, h, w) >= 0, less what lies on edges, after 2^exp_times steps.

        Args:
            maps: evidence; it is multiplied by 1 - edge first.
            exp_times: logarithm of the steps (IRNet: 8).
            tolerance: bound in [0, 1) on what is left out, as above; 0 leaves nothing out.

        Returns: (R, h, w) float32, >= 0.
        """
        start = (maps * (1 - self.edge)).reshape(len(maps), self.edge.size).T
        walked = self._polynomial(start.astype(np.float64, order="C"), exp_times, tolerance)
        np.maximum(walked, 0, out=walked)  # the polynomial may miss 0 from below
        return walked.T.astype(np.float32, order="C").reshape(maps.shape)

    def _polynomial(
        self, values: NDArray[np.float64], exp_times: int, tolerance: float
    ) -> NDArray[np.float64]:
        """Transitions of (n, R) values by Chebyshev's recurrence T_k+1 = 2 z T_k - T_k-1."""
        coefficients = walk_coefficients(2**exp_times, tolerance)
        total = coefficients[0] * values
        if len(coefficients) == 1:
            return total
        before, now = values, self.transposed @ values
        total += coefficients[1] * now
        for coefficient in coefficients[2:]:
            after = self.transposed @ now
            after *= 2
            after -= before
            before, now = now, after
            if coefficient:  # every other one is 0
                total += coefficient * now
        return total


@lru_cache(maxsize=8)
def walk_coefficients(steps: int, tolerance: float) -> tuple[float, ...]:
    """c_0 .. c_d of z^steps, d the smallest degree that leaves out at most `tolerance`."""
    kept = [0.0] * (steps + 1)
    for k in range(steps % 2, steps + 1, 2):
        kept[k] = math.comb(steps, (steps - k) // 2) / 2**steps * (2 if k else 1)
    left_out = 0.0
    while len(kept) > 1 and left_out + kept[-1] <= tolerance:
        left_out += kept.pop()
    return tuple(kept)


@dataclass(frozen=True)
class Neighbourhood:
    """Which cells of a grid are joined: all of a sparse matrix but its values.

    Attributes:
        radius: see `paths_within`.
        joined: (n, D) bool, whether a cell has a neighbour in each of D directions, itself among
            them; directions in the order of the neighbours' numbers.
        columns: int32, numbers of the neighbours, cell by cell.
        starts: (n + 1,) int32, where each cell's neighbours begin.
    """

    radius: int
    joined: NDArray[np.bool_]
    columns: NDArray[np.int32]
    starts: NDArray[np.int32]

    def weights(self, edge: NDArray[np.float32], beta: float) -> NDArray[np.float64]:
        """affinity^beta of each cell and its neighbours, in the order of `columns`."""
        height, width = edge.shape
        found = np.ones((height, width, self.joined.shape[1]), dtype=np.float64)
        # directions are symmetric about the middle one, the cell itself
        here = self.joined.shape[1] // 2
        for place, path in enumerate(paths_within(self.radius), start=1):
            if path.fits(height, width):
                weight = (1 - reduce(np.maximum, path.along(edge)).astype(np.float64)) ** beta
                forth, back = found[:, :, here + place], found[:, :, here - place]
                path.at(forth, 0, 0)[...] = weight
                path.at(back, path.down, path.right)[...] = weight
        return found.reshape(self.joined.shape)[self.joined]


@lru_cache(maxsize=_SIZES)
def neighbourhood(height: int, width: int, radius: int) -> Neighbourhood:
    """The structure of all maps of h x w cells."""
    paths = paths_within(radius)
    here = len(paths)
    joined = np.zeros((height, width, 2 * here + 1), dtype=np.bool_)
    joined[:, :, here] = True
    steps = np.zeros(2 * here + 1, dtype=np.int32)
    for place, path in enumerate(paths, start=1):
        steps[here + place] = path.down * width + path.right
        steps[here - place] = -steps[here + place]
        if path.fits(height, width):
            path.at(joined[:, :, here + place], 0, 0)[...] = True
            path.at(joined[:, :, here - place], path.down, path.right)[...] = True
    flat = joined.reshape(height * width, -1)
    cells = np.arange(height * width, dtype=np.int32)
    columns = (cells[:, None] + steps)[flat]
    starts = np.concatenate([[0], np.cumsum(flat.sum(axis=1))]).astype(np.int32)
    return Neighbourhood(radius, flat, columns, starts)
