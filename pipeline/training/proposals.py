"""The mask proposals of training images, at the resolution of a response map."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.safety import InputError
from pipeline.store import rle_decode

if TYPE_CHECKING:
    import pyarrow


class ProposalTable:
    """Soft masks by image: the share of each cell that a proposal covers.

    The run lengths stay as the table has them; what an image's decode to is kept as bytes (10 kB
    for 40 proposals of 16 x 16 cells), so each is decoded once a process.

    Args:
        table: columns image_id, rank, rle, height, width of a table of kind `proposals`, in any
            order; also of several shards together.
        size: (h, w) cells.
    """

    def __init__(self, table: pyarrow.Table, *, size: tuple[int, int]) -> None:
        table = table.select(["image_id", "rank", "rle", "height", "width"]).combine_chunks()
        table = table.sort_by([("image_id", "ascending"), ("rank", "ascending")])
        images, starts = np.unique(table.column("image_id").to_numpy(), return_index=True)
        ends = [*starts[1:].tolist(), table.num_rows]
        self._rows = dict(
            zip(images.tolist(), zip(starts.tolist(), ends, strict=True), strict=True)
        )
        self._table = table
        self._size = size
        self._found: dict[int, NDArray[np.uint8]] = {}
        self.most = max((end - start for start, end in self._rows.values()), default=0)

    def check(self, image_ids: Collection[int]) -> None:
        """Raise InputError if not one of these images has a proposal (a few may have none)."""
        if not any(image_id in self._rows for image_id in image_ids):
            raise InputError(
                f"proposals: none of the {len(image_ids)} training images has one; name the "
                "training split in pseudo_labels.splits and make the proposals again"
            )

    def of_image(self, image_id: int) -> Tensor:
        """(P, h, w) float32 in [0, 1], best first; P as many as any image has, the rest zero."""
        if image_id not in self._found:
            self._found[image_id] = self._decoded(image_id)
        return torch.from_numpy(self._found[image_id]).float() / 255

    def _decoded(self, image_id: int) -> NDArray[np.uint8]:
        found = np.zeros((self.most, *self._size), dtype=np.uint8)
        start, end = self._rows.get(image_id, (0, 0))
        for place, row in enumerate(self._table.slice(start, end - start).to_pylist()):
            mask = rle_decode(row["rle"], row["height"], row["width"])
            cells = functional.interpolate(
                torch.from_numpy(mask)[None, None].float(), self._size, mode="area"
            )
            found[place] = (cells[0, 0] * 255).round().byte().numpy()
        return found
