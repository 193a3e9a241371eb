"""Exclusion: referents of an image are different objects, so they compete for its pixels (ours).

A response map often lights up a look-alike beside its referent. Where the look-alike is a referent
itself, its own sentences claim it, mostly more strongly.
"""

from __future__ import annotations

import numpy as np

from pipeline.pseudo_labels.refiner import Pixels, Refiner, States
from pipeline.pseudo_labels.state import Masks, divided_by_maximum


class Exclusion(Refiner):
    """New evidence: less what any other referent of the image claims; takes an old mask away.

    `relu(map - weight * max over the others of their map)`, divided by its maximum. A map of which
    nothing would be left stays as it is: two referents with the same map cannot both be right, but
    nothing says which is. Datasets in which two referents of an image may be one object, or one a
    part of the other, should leave this step out.
    """

    def __init__(self, *, weight: float) -> None:
        """``weight``: in (0, 1], of the others' claim."""
        self.weight = weight

    def refine(self, image: Pixels, referents: States, proposals: Masks) -> States:
        if len(referents) < 2:
            return referents
        claims = np.stack([state.soft.mean(axis=0) for state in referents])
        found = []
        for place, state in enumerate(referents):
            others = np.delete(claims, place, axis=0).max(axis=0)
            left = np.maximum(state.soft - self.weight * others, 0)
            kept = left.any(axis=(1, 2))[:, None, None]
            soft = np.where(kept, divided_by_maximum(left), state.soft)
            found.append(state.after("exclusion", soft=soft))
        return found
