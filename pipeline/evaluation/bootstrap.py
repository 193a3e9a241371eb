"""Bootstrap intervals of averages, over images.

Expressions of one image share its difficulty (and often a referent), so they are no independent
draws: whole images are drawn, with replacement, and every average is computed anew from the sums of
the drawn images. All averages share the draws, so an interval costs one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import Floats, Ratio

LEVEL = 0.95
_ENTRIES = 4_000_000  # of the matrix of counts held at once (float64: 32 MB)


def image_sums(ratios: Sequence[Ratio], images: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Numerators and denominators summed over each image: (I, M) each, for M ratios."""
    _, index = np.unique(images, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    sums = [
        np.array([np.bincount(index, weights=r[part], minlength=count) for r in ratios]).T
        for part in (0, 1)
    ]
    return sums[0], sums[1]


def bootstrap(
    ratios: Sequence[Ratio],
    images: NDArray[np.generic],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """Percentile 95 % intervals (M, 2) in percent of M ratios over the same N expressions.

    ``images`` (N,): the image of each expression. An interval is NaN where fewer than two images
    have anything to average (one image says nothing of the spread over images) or with no
    resamples; draws in which an average is undefined are left out of its interval.
    """
    numerators, denominators = image_sums(ratios, images)
    count = len(numerators)
    intervals = np.full((len(ratios), 2), np.nan)
    spread = (denominators != 0).sum(axis=0) >= 2
    if resamples == 0 or not spread.any():
        return intervals
    values = np.empty((resamples, len(ratios)))
    chunk = max(1, _ENTRIES // count)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(count, size=(size, count))
        drawn += np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        weights = times.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values[start : start + size] = (weights @ numerators) / (weights @ denominators)
    tails = [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)]
    values[~np.isfinite(values)] = np.nan
    intervals[spread] = 100 * np.nanpercentile(values[:, spread], tails, axis=0).T
    return intervals
