"""What can truly be said of a scene, with margins: yes, no, or too close to call.

A ``Verdict`` holds the objects of which a phrase is clearly true and those for which it is unclear.
A sentence may be used only if it is clearly true of its referent and clearly false of every other
object. Lengths are shares of the canvas side, positions are centroids of the visible parts, x to
the right and y downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.miniature.attributes import ATTRIBUTES
from pipeline.miniature.scenes import Scene, silhouettes
from pipeline.miniature.shapes import Bools

Indices = frozenset[int]

EXTREME_GAP = 0.08  # between neighbours that are put in order
SIDE_YES, SIDE_NO = 0.40, 0.53  # of the canvas: clearly left, clearly not left
MIDDLE_YES, MIDDLE_NO = 0.11, 0.22  # distance of each coordinate from the middle
BESIDE_YES, BESIDE_NO = 0.14, 0.05  # how far left of the other; at most as far up or down
NEXT_YES, NEXT_NO = 0.05, 0.14  # centre distance beyond the sum of the radii
HIDDEN_YES = 0.0018  # of the canvas's area: 30 px of 128 x 128


@dataclass(frozen=True)
class Verdict:
    """Objects of which something is clearly true, and those that are too close to call."""

    yes: Indices
    unsure: Indices

    def names(self, index: int, among: Indices) -> bool:
        """Is it clearly true of ``index`` alone among these objects?"""
        return self.yes & among == {index} and not self.unsure & among


class Facts:
    """The truths of one scene that sentences are made of."""

    def __init__(self, scene: Scene, visible: Bools) -> None:
        """``visible``: bool (N,H,W), the visible parts as rendered."""
        self.scene = scene
        self.all: Indices = frozenset(range(len(scene.objects)))
        areas = np.count_nonzero(visible, axis=(1, 2))
        at = np.arange(scene.canvas) * 2 + 1  # twice the pixel centre, to stay with integers
        columns = np.count_nonzero(visible, axis=1) * at
        rows = np.count_nonzero(visible, axis=2) * at
        size = 2 * scene.canvas
        self.x = [float(s / (a * size)) for s, a in zip(columns.sum(axis=1), areas, strict=True)]
        self.y = [float(s / (a * size)) for s, a in zip(rows.sum(axis=1), areas, strict=True)]
        self.radius = [thing.radius / scene.canvas for thing in scene.objects]
        outlines = silhouettes(scene)
        # hides[j, i]: px of i's outline that lie under visible px of j.
        self.hides: NDArray[np.int64] = np.array(
            [
                [0 if i == j else np.count_nonzero(visible[j] & outlines[i]) for i in self.all]
                for j in self.all
            ]
        )

        self._descriptions = [self._describe(i) for i in sorted(self.all)]

    def descriptions(self, index: int) -> list[tuple[tuple[str, ...], Indices]]:
        """Each subset of the attributes of an object with all objects that share those values."""
        return self._descriptions[index]

    def _describe(self, index: int) -> list[tuple[tuple[str, ...], Indices]]:
        me = self.scene.objects[index]
        found: list[tuple[tuple[str, ...], Indices]] = []
        for count in range(len(ATTRIBUTES) + 1):
            for subset in combinations(ATTRIBUTES, count):
                same = frozenset(
                    j
                    for j, thing in enumerate(self.scene.objects)
                    if all(thing.value(a) == me.value(a) for a in subset)
                )
                found.append((subset, same))
        return found

    # Places in the picture --------------------------------------------------------------------

    def side(self, side: str) -> Verdict:
        """'left', 'right', 'top' or 'bottom' part of the picture."""
        along = self.x if side in ("left", "right") else self.y
        values = [v if side in ("left", "top") else 1 - v for v in along]
        return Verdict(
            frozenset(i for i in self.all if values[i] <= SIDE_YES),
            frozenset(i for i in self.all if SIDE_YES < values[i] < SIDE_NO),
        )

    def corner(self, vertical: str, horizontal: str) -> Verdict:
        """Both sides at once, such as 'top' 'left'."""
        a, b = self.side(vertical), self.side(horizontal)
        possible = (a.yes | a.unsure) & (b.yes | b.unsure)
        yes = a.yes & b.yes
        return Verdict(yes, possible - yes)

    def middle(self) -> Verdict:
        """The middle of the picture."""
        off = [max(abs(x - 0.5), abs(y - 0.5)) for x, y in zip(self.x, self.y, strict=True)]
        return Verdict(
            frozenset(i for i in self.all if off[i] <= MIDDLE_YES),
            frozenset(i for i in self.all if MIDDLE_YES < off[i] < MIDDLE_NO),
        )

    def rank(self, index: int, side: str, among: Indices) -> int | None:
        """Place of ``index`` (0 = first) counted from a side; None if the order is not clear."""
        along = self.x if side in ("left", "right") else self.y
        sign = 1 if side in ("left", "top") else -1
        if any(abs(along[j] - along[index]) < EXTREME_GAP for j in among if j != index):
            return None
        before = [j for j in among if sign * along[j] < sign * along[index]]
        order = sorted(before, key=lambda j: sign * along[j])
        # Whoever counts must also be able to tell apart those that come before.
        if any(abs(along[a] - along[b]) < EXTREME_GAP for a, b in pairwise(order)):
            return None
        return len(order)

    # Relations to another object --------------------------------------------------------------

    def relation(self, name: str, anchor: int) -> Verdict:
        """The objects that are ``name`` ('left', 'above', 'behind', 'next' ...) of the anchor."""
        yes, unsure = set(), set()
        for i in self.all - {anchor}:
            value = self._related(name, i, anchor)
            if value is None:
                unsure.add(i)
            elif value:
                yes.add(i)
        return Verdict(frozenset(yes), frozenset(unsure))

    def _related(self, name: str, i: int, anchor: int) -> bool | None:
        dx, dy = self.x[i] - self.x[anchor], self.y[i] - self.y[anchor]
        if name in ("behind", "front"):
            hidden = self.hides[anchor, i] if name == "behind" else self.hides[i, anchor]
            if hidden == 0:
                return False
            return True if hidden >= HIDDEN_YES * self.scene.canvas**2 else None
        if name == "next":
            gap = self._distance(i, anchor) - self.radius[i] - self.radius[anchor]
            return True if gap <= NEXT_YES else False if gap >= NEXT_NO else None
        forth, aside = {
            "left": (-dx, dy),
            "right": (dx, dy),
            "above": (-dy, dx),
            "below": (dy, dx),
        }[name]
        if forth <= BESIDE_NO:
            return False
        return True if forth >= BESIDE_YES and abs(aside) <= 0.8 * forth else None

    def _distance(self, i: int, j: int) -> float:
        dx, dy = self.x[i] - self.x[j], self.y[i] - self.y[j]
        return float(np.sqrt(dx * dx + dy * dy))

    def closest(self, anchor: int, among: Indices) -> int | None:
        """The one of at least two objects that is clearly closest to the anchor."""
        order = sorted((self._distance(i, anchor), i) for i in among - {anchor})
        if len(order) < 2 or order[1][0] - order[0][0] < EXTREME_GAP:
            return None
        return order[0][1]
