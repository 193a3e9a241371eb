"""Which samples make up which batch: a pure function of (seed, epoch).

An epoch sees every sample once, in batches whose sizes differ by at most one (a last batch of one
sample would be useless to losses that contrast the texts of a batch).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.training.seeds import ORDER, SENTENCE, generator_of

Sampling = Literal["expressions", "referents", "images"]


class EpochOrder:
    """The batches of each epoch, as indices into the expressions.

    Args:
        referents: (N,) the referent of each expression, any integer code.
        sampling: `expressions` shows every expression once an epoch; `referents` every referent
            once, with one of its expressions drawn anew each epoch.
        distinct_referents: keep expressions of one referent out of each other's batch. Possible
            wherever a referent has no more expressions than the epoch has batches; what exceeds
            that is spread as evenly as can be.
    """

    def __init__(
        self,
        referents: NDArray[np.int64],
        *,
        batch_size: int,
        sampling: Sampling,
        distinct_referents: bool,
        seed: int,
    ) -> None:
        self._codes = np.unique(referents, return_inverse=True)[1]
        self._samples = len(referents)
        if sampling == "referents":
            self._samples = int(self._codes.max(initial=-1)) + 1
        self._sampling = sampling
        # one expression a referent cannot meet itself
        self._distinct = distinct_referents and sampling == "expressions"
        self._batches = -(-self._samples // batch_size)
        self._seed = seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._batches

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch, in order."""
        rng = generator_of(ORDER, self._seed, epoch)
        samples = self._draw(epoch)
        if not self._distinct:
            return np.array_split(rng.permutation(samples), self._batches)
        samples, batch_of = self._deal(rng, samples)
        samples = samples[np.argsort(batch_of, kind="stable")]
        ends = np.cumsum(np.bincount(batch_of, minlength=self._batches))[:-1]
        return [rng.permutation(batch) for batch in np.split(samples, ends)]

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        """The expressions of an epoch: all, or one of each referent."""
        if self._sampling == "expressions":
            return np.arange(len(self._codes))
        rng = generator_of(SENTENCE, self._seed, epoch)
        shuffled = rng.permutation(len(self._codes))
        return shuffled[np.unique(self._codes[shuffled], return_index=True)[1]]

    def _deal(
        self, rng: np.random.Generator, samples: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples, and a batch for each that no other expression of its referent has.

        Referents in random order, expressions of one side by side, are dealt out like cards: every
        row of as many cards as there are batches gives each batch one, in an order of its own. Only
        a referent that lies across two rows could meet itself: its second part avoids the batches
        of its first.
        """
        ranks = rng.permutation(self._samples)[self._codes[samples]]
        samples = samples[np.lexsort((rng.random(len(samples)), ranks))]
        codes = self._codes[samples]
        rows: list[NDArray[np.int64]] = []
        for start in range(0, len(samples), self._batches):
            row = rng.permutation(self._batches)
            if start and codes[start] == codes[start - 1]:
                before = codes[start - self._batches : start] == codes[start]
                head = int((codes[start : start + self._batches] == codes[start]).sum())
                free = row[~np.isin(row, rows[-1][before])][:head]
                row = np.concatenate([free, row[~np.isin(row, free)]])
            rows.append(row)
        return samples, np.concatenate(rows)[: len(samples)]


class ImageOrder:
    """The batches of each epoch when the expressions of an image share its encoding.

    An epoch shows every image once, with at most ``texts`` of its expressions, drawn anew each
    epoch; the expressions of an image stand side by side in their batch.

    Args:
        images: (N,) the image of each expression, any integer code.
        referents: (N,) its referent, of which an epoch then shows one expression; None: any.
        batch_size: images a batch.
    """

    def __init__(
        self,
        images: NDArray[np.int64],
        *,
        referents: NDArray[np.int64] | None = None,
        batch_size: int,
        texts: int,
        seed: int,
    ) -> None:
        self._referents = referents
        self._codes = np.unique(images, return_inverse=True)[1]
        self._images = int(self._codes.max(initial=-1)) + 1
        self._texts = texts
        self._batches = -(-self._images // batch_size)
        self._seed = seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._batches

    def epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch, in order."""
        rng = generator_of(ORDER, self._seed, epoch)
        ranks = rng.permutation(self._images)
        shuffled = rng.permutation(len(self._codes))
        if self._referents is not None:
            first = np.unique(self._referents[shuffled], return_index=True)[1]
            shuffled = shuffled[np.sort(first)]
        order = shuffled[np.argsort(ranks[self._codes[shuffled]], kind="stable")]
        codes = self._codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        place = np.arange(len(codes)) - np.repeat(starts, np.diff([*starts, len(codes)]))
        order = order[place < self._texts]
        batch_of = ranks[self._codes[order]] * self._batches // self._images
        return np.split(order, np.flatnonzero(np.diff(batch_of)) + 1)
