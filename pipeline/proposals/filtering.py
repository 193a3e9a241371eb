"""From many overlapping masks to a few distinct ones (PCNet keeps at most P = 40).

Legend: N masks, K kept ones, S parts: disjoint sets of pixels, or simply the pixels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def choose_distinct(
    members: NDArray[np.bool_],
    sizes: NDArray[np.integer],
    scores: NDArray[np.floating],
    *,
    minimum_area: int,
    maximum_overlap: float,
    keep: int,
    prefer: Literal["score", "area"],
) -> NDArray[np.int64]:
    """Indices (K,) of the masks to keep, best first; never more than ``keep``.

    A mask is a union of parts: row ``members[n]`` says which. Masks of plain pixels are
    ``masks.reshape(N, -1)`` with ``sizes`` of ones; unions of superpixels cost far less.

    Args:
        members: (N, S) which parts a mask holds.
        sizes: (S,) pixels of each part.
        scores: (N,) higher is better; equal scores keep their order.
        minimum_area: masks of fewer pixels are dropped.
        maximum_overlap: of two masks with a higher IoU the one with the lower score is dropped.
        keep: how many masks remain at most.
        prefer: keep those with the highest ``score``, or of all distinct ones the largest
            (``area``, PCNet's rule). Also the order of the result.
    """
    # float32 counts pixels exactly up to 2**24 of them, and halves the time of the products.
    parts, weights = members.astype(np.float32), sizes.astype(np.float32)
    areas = parts @ weights
    order = np.argsort(-scores, kind="stable")
    order = order[areas[order] >= max(minimum_area, 1)]
    alive = np.ones(len(members), dtype=np.bool_)
    chosen: list[int] = []
    for index in order:
        if prefer == "score" and len(chosen) >= keep:
            break
        if not alive[index]:
            continue
        chosen.append(int(index))
        # Only the rows of kept masks are needed, which is less than the whole N x N product.
        shared = parts @ (parts[index] * weights)
        alive &= shared <= maximum_overlap * (areas + areas[index] - shared)
    kept = np.array(chosen, dtype=np.int64)
    if prefer == "area":
        kept = kept[np.argsort(-areas[kept], kind="stable")]
    return kept[:keep]
