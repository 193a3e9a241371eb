"""The annotated side of an evaluation: tables in, one image at a time out.

Masks stay run-length coded until their image is asked for, so memory does not grow with the number
of pixels. An expression whose referent has an empty mask has no target (gRefCOCO).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.boxes import truth_boxes
from pipeline.evaluation.conventions import TextField
from pipeline.metrics import Bools, Ints
from pipeline.safety import InputError
from pipeline.store import rle_decode

if TYPE_CHECKING:
    import pyarrow as pa

ImageKey = tuple[str, str, int]  # dataset, split, image_id
ExpressionKey = tuple[str, str, int, int]  # dataset, split, ref_id, sent_id
ReferentKey = tuple[str, str, int]  # dataset, split, ref_id


@dataclass(frozen=True)
class ImageTruth:
    """What is annotated of one image: R referents, E expressions, K objects, H x W pixels.

    ref_ids (R,), masks (R, H, W), boxes (R, 4) x1, y1, x2, y2 in integers, as TRIS cuts them.
    expressions: (ref_id, sent_id) -> text. objects (K, H, W): every annotated object of the image,
    referred to or not; None without that table.
    """

    ref_ids: Ints
    masks: Bools
    boxes: Ints
    expressions: dict[tuple[int, int], str]
    objects: Bools | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.masks.shape[1:]
        return height, width

    def places(self, ref_ids: Ints) -> Ints:
        """The position among this image's referents of each id."""
        order = np.argsort(self.ref_ids)
        return order[np.searchsorted(self.ref_ids, ref_ids, sorter=order)]


def annotated(expressions: pa.Table, truth: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """The expressions whose referent has a row of truth, and how many of each split have none."""
    names = ("dataset", "split", "ref_id")
    known = set(_rows(truth, names))
    keep = [row in known for row in _rows(expressions, names)]
    splits = expressions.column("split").to_pylist()
    lacking = Counter(split for split, kept in zip(splits, keep, strict=True) if not kept)
    return expressions.filter(keep), dict(sorted(lacking.items()))


class GroundTruth:
    """The tables ``expressions``, ``truth`` and ``objects`` of the splits that are evaluated."""

    def __init__(
        self,
        *,
        expressions: pa.Table,
        truth: pa.Table,
        objects: pa.Table | None,
        splits: Collection[str],
        text: TextField,
    ) -> None:
        """``text`` is the column by which an expression's style is told.

        InputError: a referent is annotated twice, or an expression's referent not at all; no
        expression is in ``splits``.
        """
        # One chunk a column: rows are then picked by number at once.
        self._truth = truth.combine_chunks()
        self._objects = None if objects is None else objects.combine_chunks()
        self._last: tuple[ImageKey, ImageTruth] | None = None
        self._referents: dict[ImageKey, list[int]] = defaultdict(list)
        self._texts: dict[ImageKey, dict[tuple[int, int], str]] = defaultdict(dict)
        self._expressions: dict[ExpressionKey, None] = {}  # a set in the table's order
        self._objects_of: dict[tuple[str, int], list[int]] = defaultdict(list)
        known: dict[ReferentKey, int] = {}
        names = ("dataset", "split", "image_id", "ref_id")
        for row, (dataset, split, image, ref) in enumerate(_rows(truth, names)):
            if split not in splits:
                continue
            if (dataset, split, ref) in known:
                raise InputError(f"truth: {dataset} {split} ref_id {ref} is there twice")
            known[dataset, split, ref] = image
            self._referents[dataset, split, image].append(row)
        spoken = _rows(expressions, (*names, "sent_id", text))
        for dataset, split, image, ref, sent, words in spoken:
            if split not in splits:
                continue
            if known.get((dataset, split, ref)) != image:
                raise InputError(
                    f"truth: no mask of {dataset} {split} image {image} ref_id {ref}; make the "
                    "tables of the dataset again"
                )
            self._expressions[dataset, split, ref, sent] = None
            self._texts[dataset, split, image][ref, sent] = words
        if not self._expressions:
            raise InputError(f"expressions: there are none of {', '.join(sorted(splits))}")
        self.splits = frozenset(splits)
        if objects is not None:
            for row, (dataset, image) in enumerate(_rows(objects, ("dataset", "image_id"))):
                self._objects_of[dataset, image].append(row)

    def __len__(self) -> int:
        """Number of expressions."""
        return len(self._expressions)

    def __iter__(self) -> Iterator[ExpressionKey]:
        """Every expression that is evaluated, in the order of the table."""
        return iter(self._expressions)

    def images(self) -> Iterator[ImageKey]:
        """Every image that has an expression, in the order of the expressions."""
        return iter(self._texts)

    def image(self, key: ImageKey) -> ImageTruth:
        """The annotations of one image, decoded (the latest stays); InputError if it has none."""
        if key not in self._texts:
            raise InputError(f"expressions: {key[0]} {key[1]} has no image {key[2]}")
        if self._last is None or self._last[0] != key:
            self._last = key, self._decoded(key)
        return self._last[1]

    def _decoded(self, key: ImageKey) -> ImageTruth:
        rows = self._referents[key]
        box = (_picked(self._truth, f"box_{side}", rows) for side in "xywh")
        masks = decode(self._truth, rows)
        objects = None
        if self._objects is not None:
            own = self._objects_of.get((key[0], key[2]), [])
            objects = decode(self._objects, own) if own else masks[:0]
            if objects.shape[1:] != masks.shape[1:]:
                raise InputError(
                    f"objects: masks of {key[0]} image {key[2]} have height and width "
                    f"{objects.shape[1:]}, those of its referents {masks.shape[1:]}"
                )
        return ImageTruth(
            ref_ids=np.array(_picked(self._truth, "ref_id", rows), dtype=np.int64),
            masks=masks,
            boxes=truth_boxes(*box),
            expressions=self._texts[key],
            objects=objects,
        )


def _rows(table: pa.Table, names: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def _picked(table: pa.Table, name: str, rows: Collection[int]) -> list[Any]:
    column = table.column(name)
    return [column[row].as_py() for row in rows]


def decode(table: pa.Table, rows: Collection[int]) -> Bools:
    """The masks (N, H, W) of some rows of a table with rle, height and width: one image's."""
    coded = list(zip(*(_picked(table, n, rows) for n in ("rle", "height", "width")), strict=True))
    # Sentences of a referent often share a mask: each is decoded once.
    once = {key: rle_decode(*key) for key in dict.fromkeys(coded)}
    masks = [once[key] for key in coded]
    if shapes := {mask.shape for mask in masks} - {masks[0].shape}:
        raise InputError(f"masks of one image have sizes {masks[0].shape} and {shapes.pop()}")
    return np.stack(masks)
