"""Texts that an image must not be matched with: expressions of the other referents of the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.safety import InputError
from pipeline.training.seeds import NEGATIVES, generator_of

DRAWS = 64  # tries at random other images before all of them are searched


class Negatives:
    """K negatives of each expression, drawn from a generator seeded by (seed, epoch, sent_id).

    First the expressions of other referents of the same image, without repeating a text; where they
    are too few, expressions of random other images. Never an expression of the same referent, and
    never a text equal to the expression's own. Texts repeat only if the data set has too few.

    Args:
        images, referents, texts: (N,) integer codes of each expression.
        sentences: (N,) the sent_id of each.

    Raises:
        InputError: an expression has no negative in the whole data set.
    """

    def __init__(
        self,
        *,
        images: NDArray[np.int64],
        referents: NDArray[np.int64],
        texts: NDArray[np.int64],
        sentences: NDArray[np.int64],
        count: int,
        seed: int,
    ) -> None:
        self._images, self._referents, self._texts = images, referents, texts
        self._sentences = sentences
        self._count = count
        self._seed = seed
        order = np.argsort(images, kind="stable")
        _, self._codes, counts = np.unique(images, return_inverse=True, return_counts=True)
        self._of_image = np.split(order, np.cumsum(counts)[:-1])
        self._check()

    def draw(self, sample: int, epoch: int) -> NDArray[np.int64]:
        """(K,) indices of the expressions that are the negatives of expression `sample`."""
        rng = generator_of(NEGATIVES, self._seed, epoch, int(self._sentences[sample]))
        near = self._of_image[self._codes[sample]]
        chosen = self._different(rng.permutation(self._allowed(near, sample)))[: self._count]
        if len(chosen) == self._count:
            return chosen
        drawn = rng.integers(len(self._texts), size=DRAWS + self._count)
        chosen = self._fill(chosen, self._elsewhere(drawn, sample))
        if len(chosen) < self._count:  # rare: few other images, or few other texts
            everywhere = rng.permutation(len(self._texts))
            chosen = self._fill(chosen, self._elsewhere(everywhere, sample))
        return np.resize(chosen, self._count)

    def _allowed(self, candidates: NDArray[np.int64], sample: int) -> NDArray[np.int64]:
        other = self._referents[candidates] != self._referents[sample]
        return candidates[other & (self._texts[candidates] != self._texts[sample])]

    def _elsewhere(self, candidates: NDArray[np.int64], sample: int) -> NDArray[np.int64]:
        candidates = candidates[self._images[candidates] != self._images[sample]]
        return self._allowed(candidates, sample)

    def _different(self, candidates: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first expression of each text, in order."""
        first: NDArray[np.int64] = np.unique(self._texts[candidates], return_index=True)[1]
        return candidates[np.sort(first)]

    def _fill(self, chosen: NDArray[np.int64], more: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._different(np.concatenate([chosen, more]))[: self._count]

    def _check(self) -> None:
        """Other texts of other referents: all, less the referent's own, less the equal texts."""
        size = len(self._texts)
        referents = np.unique(self._referents, return_inverse=True, return_counts=True)
        texts = np.unique(self._texts, return_inverse=True, return_counts=True)
        both = np.stack([referents[1], texts[1]])
        _, codes, counts = np.unique(both, axis=1, return_inverse=True, return_counts=True)
        allowed = size - referents[2][referents[1]] - texts[2][texts[1]] + counts[codes.reshape(-1)]
        if not allowed.all():
            sent_id = int(self._sentences[np.argmin(allowed)])
            raise InputError(
                f"expressions: sent_id {sent_id} can have no negative, no other referent has "
                "another text; set negatives to 0 or add expressions"
            )
