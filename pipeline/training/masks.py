"""The masks that a segmentor learns: pseudo-labels or truth, found by key, never by position.

A segmentor cannot tell where its masks came from; the step that trains it decides which table is
read. Batches without a `MaskTable` hold no mask at all, which is how localizers are trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.records import Expression
from pipeline.safety import InputError
from pipeline.store import rle_decode, rle_encode

if TYPE_CHECKING:
    import pyarrow

Shrink = Literal["nearest", "area"]


class MaskTable:
    """Run-length masks of expressions.

    Args:
        key: `sent_id` for a table of one mask an expression (pseudo-labels), `ref_id` for one mask
            a referent (truth).
        masks: key -> (counts, height, width).
        resize: to the training size: `nearest` stays binary, `area` gives the covered share.
    """

    def __init__(
        self,
        key: Literal["sent_id", "ref_id"],
        masks: Mapping[int, tuple[bytes, int, int]],
        *,
        resize: Shrink,
    ) -> None:
        self._key = key
        self._masks = masks
        self._resize = resize

    @classmethod
    def of_pseudo_labels(cls, table: pyarrow.Table, *, resize: Shrink) -> MaskTable:
        """From the columns sent_id, rle, height, width of a table of kind `pseudo_labels`."""
        return cls("sent_id", _by_key(table, "sent_id"), resize=resize)

    @classmethod
    def of_truth(cls, table: pyarrow.Table, *, resize: Shrink) -> MaskTable:
        """From the columns ref_id, rle, height, width of a table of kind `truth`."""
        return cls("ref_id", _by_key(table, "ref_id"), resize=resize)

    def with_empty(self, sizes: Mapping[int, tuple[int, int]]) -> MaskTable:
        """The same with empty masks of these sizes (height, width), by key, where it has none."""
        empty = {
            key: (rle_encode(np.zeros(size, dtype=np.bool_)), *size) for key, size in sizes.items()
        }
        return MaskTable(self._key, empty | dict(self._masks), resize=self._resize)

    def check(self, expressions: Iterable[Expression]) -> None:
        """Raise InputError if an expression has no mask."""
        lacking = [e for e in expressions if getattr(e, self._key) not in self._masks]
        if lacking:
            first = lacking[0]
            raise InputError(
                f"masks: {len(lacking)} expressions have none, the first is sent_id "
                f"{first.sent_id} of ref_id {first.ref_id}; make the masks of every expression of "
                "the training split again"
            )

    def masks(self, expressions: Sequence[Expression], size: tuple[int, int]) -> Tensor:
        """(N, 1, H, W) float32 in [0, 1] at `size` (H, W)."""
        rows = [self._masks[getattr(expression, self._key)] for expression in expressions]
        decoded = [rle_decode(counts, height, width) for counts, height, width in rows]
        if all(mask.shape == size for mask in decoded):
            return torch.from_numpy(np.stack(decoded))[:, None].float()
        mode = "nearest-exact" if self._resize == "nearest" else "area"
        resized = [
            functional.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode=mode)
            for mask in decoded
        ]
        return torch.cat(resized)


def _by_key(table: pyarrow.Table, key: str) -> dict[int, tuple[bytes, int, int]]:
    columns = [table.column(name).to_pylist() for name in (key, "rle", "height", "width")]
    masks = {k: (rle, height, width) for k, rle, height, width in zip(*columns, strict=True)}
    if len(masks) != table.num_rows:
        raise InputError(f"masks: {key} repeats in the table; it must name one mask each")
    return masks
