"""Instances: cells whose displacements lead to one place, and what evidence spreads to from each.

IRNet (Ahn et al., CVPR 2019). A cell's displacement points to the centre of
its instance. Following it again and again refines the centre; centres are where displacements are
weak, and the cells that end in one weak region are one instance. The evidence of each instance then
walks apart from that of the others, and they compete for the pixels.

Legend: E expressions of an image, I instances, H W pixels, h w cells, h = ceil(H / stride).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from pipeline.pseudo_labels.irnet.walk import RandomWalk
from pipeline.pseudo_labels.state import Maps, Masks

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRule:
    """From edges and displacements to the masks of instances.

    Attributes:
        refinements: most steps of the refinement of centres (IRNet: 300).
        weak: displacements shorter than that many cells mark centres (IRNet: 2.5).
        radius, beta: of the walk, see `RandomWalk` (IRNet: 5, 10).
        exp_times, tolerance: see `RandomWalk.spread` (IRNet: 8 steps of squaring, exact).
        background: share in [0, 1) of its maximum below which evidence is background (IRNet: 0.25).
        fragment: share of the image below which a connected piece is dropped (IRNet: 0.01), unless
            nothing else is left.
        keep: `all` pieces together (TRIS), or the `best`, which has the strongest evidence.
    """

    refinements: int
    weak: float
    radius: int
    beta: float
    exp_times: int
    tolerance: float
    background: float
    fragment: float
    keep: Literal["all", "best"]

    def __call__(
        self,
        maps: Maps,
        edge: NDArray[np.float32],
        displacement: NDArray[np.float32],
        *,
        stride: int,
    ) -> tuple[Maps, Masks]:
        """Evidence (E, H, W) in [0, 1] after the walk, and the mask (E, H, W) of each expression.

        A map without evidence, or whose evidence all lies on edges, gives zeros.

        Args:
            maps: (E, H, W) in [0, 1].
            edge, displacement: (h, w) and (2, h, w), of `EdgeDisplacementNetwork.infer`.
            stride: pixels a cell.
        """
        ids = group_cells(displacement, refinements=self.refinements, weak=self.weak)
        owner, parts = split(cell_means(maps, stride), ids)
        walk = RandomWalk(edge, radius=self.radius, beta=self.beta)
        walked = walk.spread(parts, exp_times=self.exp_times, tolerance=self.tolerance)
        soft, masks = np.zeros_like(maps), np.zeros(maps.shape, dtype=np.bool_)
        for place in range(len(maps)):
            own = walked[owner == place]
            if own.any():
                regions, soft[place] = self.compete(own, maps.shape[1:], stride)
                pieces = self.pieces(regions)
                masks[place] = self._chosen(pieces, soft[place])
        return soft, masks

    def compete(
        self, walked: Maps, size: tuple[int, ...], stride: int
    ) -> tuple[Ids, NDArray[np.float32]]:
        """Regions (H, W), 0 background, and the strongest evidence (H, W) of walked (I, h, w).

        Each pixel goes to the instance with the strongest evidence there, if it exceeds the
        background's share of the maximum over all.
        """
        walked = walked / walked.max()
        # an instance that nowhere exceeds the background can win no pixel, enlarged or not
        seen = walked[walked.max(axis=(1, 2)) > self.background]
        large = enlarged(seen, size, stride)
        strongest = large.max(axis=0)
        regions = np.where(strongest > self.background, large.argmax(axis=0) + 1, 0)
        return regions.astype(np.int32), strongest

    def pieces(self, regions: Ids) -> list[NDArray[np.bool_]]:
        """Connected masks (H, W) of the regions, 4-neighbours, without fragments."""
        found = []
        for region in range(1, int(regions.max()) + 1):
            labels, count = ndimage.label(regions == region)
            found += [labels == label for label in range(1, count + 1)]
        large = [piece for piece in found if piece.mean() >= self.fragment]
        return large or sorted(found, key=np.count_nonzero)[-1:]

    def _chosen(
        self, pieces: list[NDArray[np.bool_]], soft: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        if not pieces:
            return np.zeros(soft.shape, dtype=np.bool_)
        if self.keep == "best":
            return max(pieces, key=lambda piece: float(soft[piece].max()))
        return np.any(pieces, axis=0)


def group_cells(displacement: NDArray[np.float32], *, refinements: int, weak: float) -> Ids:
    """Instance (h, w) of each cell by displacements (2, h, w), numbered from 0 without gaps.

    Cells that end in no weak region are one instance together; so are all cells of a map without
    any.
    """
    height, width = displacement.shape[1:]
    centres = refined_centres(torch.from_numpy(displacement), refinements).round().long()
    regions, _ = ndimage.label(np.hypot(*displacement) < weak)
    ended = regions[centres[0].numpy(), centres[1].numpy()]
    _, ids = np.unique(ended, return_inverse=True)
    return ids.reshape(height, width).astype(np.int32)


def refined_centres(displacement: Tensor, refinements: int) -> Tensor:
    """Where each cell comes to (2, h, w) when it follows (2, h, w) displacements, in the map.

    Between cells they are interpolated. Ends early where nothing moves any more.
    """
    height, width = displacement.shape[1:]
    rows = torch.arange(height, dtype=torch.float32)
    columns = torch.arange(width, dtype=torch.float32)
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    last = torch.tensor([height - 1, width - 1], dtype=torch.float32)[:, None, None]
    scale = 2 / last.clamp(min=1)
    for _ in range(refinements):
        grid = (places * scale - 1).flip(0).permute(1, 2, 0)  # (h, w, 2): x, y in [-1, 1]
        here = functional.grid_sample(
            displacement[None], grid[None], padding_mode="border", align_corners=True
        )[0]
        moved = torch.minimum((places + here).clamp(min=0), last)
        if torch.equal(moved, places):
            break
        places = moved
    return places


def split(maps: Maps, ids: Ids) -> tuple[NDArray[np.int64], Maps]:
    """The part of each map (E, h, w) in each instance that it has evidence in, and its map."""
    masks = ids == np.arange(int(ids.max()) + 1)[:, None, None]  # (I, h, w)
    owners, parts = [], []
    for place, values in enumerate(maps):
        for mask in masks:
            part = np.where(mask, values, np.float32(0))
            if part.any():
                owners.append(place)
                parts.append(part)
    shape = (0, *ids.shape)
    stacked = np.stack(parts) if parts else np.zeros(shape, dtype=np.float32)
    return np.array(owners, dtype=np.int64), stacked


def cell_means(maps: Maps, stride: int) -> Maps:
    """Maps (E, H, W) averaged to cells (E, h, w); the last may reach over the border."""
    values = torch.from_numpy(maps)[:, None]
    pooled = functional.avg_pool2d(values, stride, ceil_mode=True, count_include_pad=False)
    return pooled[:, 0].numpy()


def enlarged(maps: Maps, size: tuple[int, ...], stride: int) -> Maps:
    """Maps (I, h, w) of cells, bilinear to pixels (I, H, W)."""
    values = torch.from_numpy(maps)[:, None]
    large = functional.interpolate(
        values, scale_factor=float(stride), mode="bilinear", align_corners=False
    )
    return large[:, 0, : size[0], : size[1]].numpy()
