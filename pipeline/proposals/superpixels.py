"""Proposals without a network: nested regions of a superpixel hierarchy.

1. Felzenszwalb and Huttenlocher (IJCV 2004) cut the image into some hundreds of atoms.
2. For each median radius, atoms merge by the colour of the median-filtered image (:mod:`.regions`).
   A median over more than a period of stripes or dots leaves the colour that covers most of the
   texture, so a textured object becomes one region; a small radius keeps small objects.
3. A region's score is how late, among the regions of its hierarchy, it is absorbed by a larger one.

Legend: H W pixels of the image, h w of the working copy, n atoms, M regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab
from skimage.filters import rank
from skimage.morphology import disk
from skimage.segmentation import felzenszwalb

from pipeline.proposals.filtering import choose_distinct
from pipeline.proposals.regions import build_hierarchy, neighbours
from pipeline.safety import InputError

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

# Shading changes lightness more than hue: lightness counts half, as in the CMC 2:1 difference.
_LIGHTNESS = 0.5


def propose(
    image: Pixels,
    *,
    working_side: int,
    scale: float,
    sigma: float,
    atom_size: int,
    medians: Sequence[int],
    size_power: float,
    minimum_area: int,
    maximum_share: float,
    maximum_overlap: float,
    keep: int,
) -> list[tuple[Mask, float]]:
    """Masks (H, W) with their scores in [0, 1], best first, at most ``keep``, possibly none.

    Args:
        image: (H, W, 3) uint8 RGB.
        working_side: an image with a longer side is reduced to it before the segmentation.
        scale, sigma: Felzenszwalb's scale of observation and Gaussian blur (working pixels).
        atom_size: atoms of fewer working pixels join a neighbour.
        medians: radius in working pixels of the median filter of each hierarchy; 0 is unfiltered.
        size_power: how much merging prefers small regions, see ``regions.build_hierarchy``.
        minimum_area: pixels of the image that a proposal has at least.
        maximum_share: share of the image that a proposal covers at most.
        maximum_overlap: IoU above which the worse of two proposals is dropped.
        keep: most proposals of an image (PCNet's P = 40).

    Raises:
        InputError: the image is not (H, W, 3) uint8 with H, W >= 1.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError(
            f"propose: needs an RGB image of bytes (height, width, 3), not {image.dtype} "
            f"{image.shape}; convert the image first"
        )
    height, width = image.shape[:2]
    small = _reduce(image, working_side)
    atoms = felzenszwalb(small, scale=scale, sigma=sigma, min_size=atom_size).astype(np.int64)
    edges = neighbours(atoms)
    atom_pixels = np.bincount(atoms.ravel())

    members, scores = [], []
    for radius in medians:
        colours = _atom_colours(_median(small, radius), atoms, len(atom_pixels))
        hierarchy = build_hierarchy(edges, atom_pixels, colours, size_power=size_power)
        members.append(hierarchy.members)
        scores.append(_places(hierarchy.absorbed))
    candidates, score = np.concatenate(members), np.concatenate(scores)

    labels = _enlarge(atoms, height, width)
    sizes = np.bincount(labels.ravel(), minlength=len(atom_pixels))
    small_enough = candidates @ sizes <= maximum_share * height * width
    candidates, score = candidates[small_enough], score[small_enough]
    kept = choose_distinct(
        candidates,
        sizes,
        score,
        minimum_area=minimum_area,
        maximum_overlap=maximum_overlap,
        keep=keep,
        prefer="score",
    )
    return [(candidates[k][labels], float(score[k])) for k in kept]


def _reduce(image: Pixels, side: int) -> Pixels:
    """The image with its longer side at most ``side`` pixels, aspect kept."""
    height, width = image.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return image
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def _enlarge(labels: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """(h, w) labels -> (height, width), each pixel that of the working pixel it lies in."""
    h, w = labels.shape
    if (h, w) == (height, width):
        return labels
    rows = np.arange(height) * h // height
    columns = np.arange(width) * w // width
    return labels[rows[:, None], columns]


def _median(image: Pixels, radius: int) -> Pixels:
    """Median of each channel over a disc of ``radius`` pixels."""
    if radius == 0:
        return image
    footprint = disk(radius)
    channels = [rank.median(np.ascontiguousarray(image[..., c]), footprint) for c in range(3)]
    return np.stack(channels, axis=-1)


def _atom_colours(image: Pixels, atoms: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(n, 3) sums of CIELAB over each atom: distances in it are about as large as they look."""
    lab = rgb2lab(image) * (_LIGHTNESS, 1, 1)
    index = atoms.ravel()
    sums = [np.bincount(index, lab[..., c].ravel(), minlength=count) for c in range(3)]
    return np.stack(sums, axis=1)


def _places(cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place of each cost in its hierarchy, in (0, 1], 1 for the highest.

    Places and not costs, because hierarchies of different medians have different costs.
    """
    places = np.empty(len(cost))
    places[np.argsort(cost, kind="stable")] = np.arange(1, len(cost) + 1) / len(cost)
    return places
