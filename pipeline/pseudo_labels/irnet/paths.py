"""Straight paths between neighbouring cells of a grid: what an edge must cross to part them.

IRNet (Ahn et al., CVPR 2019): two cells are as alike as the strongest edge on the path
between them is weak. A path is the same wherever it starts, so the values along it are read as
shifted views of the map, and nothing but the shapes of the paths is kept.

Legend: h w cells of the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch

Map = TypeVar("Map", torch.Tensor, np.ndarray[Any, Any])


@dataclass(frozen=True, slots=True)
class Path:
    """From a cell to the one `down` rows below and `right` columns to its right.

    Attributes:
        down: >= 0.
        right: of any sign, but positive where `down` is 0.
        cells: (row, column) relative to the start; both ends are among them.
    """

    down: int
    right: int
    cells: tuple[tuple[int, int], ...]

    def fits(self, height: int, width: int) -> bool:
        """Whether a map of h x w has a pair of cells that this path joins."""
        return self.down < height and abs(self.right) < width

    def at(self, values: Map, row: int, column: int) -> Map:
        """The value (row, column) away from each start: a view of (..., h, w) `values`.

        Starts are the cells whose end lies in the map: (..., h - down, w - |right|) of them.
        """
        height, width = values.shape[-2:]
        column += max(0, -self.right)
        rows = slice(row, row + height - self.down)
        return values[..., rows, column : column + width - abs(self.right)]

    def ends(self, values: Map) -> tuple[Map, Map]:
        """Values at the starts and at the ends."""
        return self.at(values, 0, 0), self.at(values, self.down, self.right)

    def along(self, values: Map) -> list[Map]:
        """Values at each cell of the path."""
        return [self.at(values, *cell) for cell in self.cells]


@lru_cache(maxsize=8)
def paths_within(radius: int) -> tuple[Path, ...]:
    """One path for each pair of directions to cells nearer than `radius` cells.

    The other half of the directions is the way back. IRNet trains with 10 and walks with 5.
    """
    found = []
    for down in range(radius):
        for right in range(1 - radius, radius):
            ahead = down > 0 or right > 0
            if ahead and down**2 + right**2 < radius**2:
                found.append(Path(down, right, _straight(down, right)))
    return tuple(found)


def _straight(down: int, right: int) -> tuple[tuple[int, int], ...]:
    """Cells of the rectangle between both ends less than one cell away from the line."""
    columns = range(min(0, right), max(0, right) + 1)
    return tuple(
        (row, column)
        for row in range(down + 1)
        for column in columns
        if (down * column - right * row) ** 2 < down**2 + right**2
    )
