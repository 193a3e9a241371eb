"""What a configuration says about reading a dataset; every reader takes the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OverlappingPolygons = Literal["union", "background"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How the files of a dataset become tables; a reader passes over what its format has not.

    split_by: whose partition: "unc", "google", "umd" or "berkeley".
    overlapping_polygons: what the pixels are that several polygons of one object cover: the
        object's (``union``, COCO), or nobody's (``background``, as those do who add up REFER's
        polygons and keep the pixels that are 1).
    train, held_out_split, held_out: of a list that names no splits, this share of the images (in
        0..1, one at least) goes to ``held_out_split`` and the others to ``train``.
    """

    split_by: str
    overlapping_polygons: OverlappingPolygons
    train: str
    held_out_split: str
    held_out: float
