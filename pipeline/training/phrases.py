"""What is said of each expression: its text and, for PCNet, its cues; as they are and mirrored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.records import Expression
from pipeline.safety import InputError
from pipeline.training.flips import mirrored
from pipeline.training.texts import TextTable, Tokenize


class Phrases:
    """The texts and cues of N expressions, tokenised once.

    Args:
        cues: sent_id -> the C cues of an expression; None: no expression has cues (C = 0).
        flips: whether any expression is shown mirrored.

    Attributes:
        ids, flipped_ids: (N, 1 + C) of the text and its cues; equal text, equal id.
        can_flip: (N,) whether the text and all its cues can be told of the mirrored image; the
            others have no flipped_ids of their own.
        has_cues: whether there are cues.

    Raises:
        InputError: an expression has no cues, or another number of them than the others.
    """

    def __init__(
        self,
        expressions: Sequence[Expression],
        *,
        cues: Mapping[int, Sequence[str]] | None,
        flips: bool,
        tokenize: Tokenize,
    ) -> None:
        said = [[e.text] for e in expressions]
        if cues is not None:
            for phrase, mine in zip(said, _cues_of(expressions, cues), strict=True):
                phrase.extend(mine)
        turned = [mirrored_phrase(phrase) if flips else None for phrase in said]
        flipped = [old if new is None else new for old, new in zip(said, turned, strict=True)]
        self._texts = TextTable([text for phrase in (*said, *flipped) for text in phrase], tokenize)
        self.ids = self._ids_of(said)
        self.flipped_ids = self._ids_of(flipped)
        self.can_flip = np.array([new is not None for new in turned])
        self.has_cues = cues is not None

    def tokens(self, ids: NDArray[np.int64]) -> Tensor:
        """(..., T) int64 tokens of (...) ids."""
        return self._texts.tokens(ids)

    def _ids_of(self, phrases: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        ids = self._texts.ids(text for phrase in phrases for text in phrase)
        return ids.reshape(len(phrases), -1)


def mirrored_phrase(phrase: Sequence[str]) -> list[str] | None:
    """A text and its cues for the mirrored image; None if one of them cannot be told."""
    found = [text for text in map(mirrored, phrase) if text is not None]
    return found if len(found) == len(phrase) else None


def _cues_of(
    expressions: Sequence[Expression], cues: Mapping[int, Sequence[str]]
) -> list[Sequence[str]]:
    """The cues of each expression."""
    lacking = [e for e in expressions if e.sent_id not in cues]
    if lacking:
        raise InputError(
            f"cues: {len(lacking)} expressions have none, the first is sent_id "
            f"{lacking[0].sent_id}; decompose the expressions of the training split again"
        )
    found = [cues[e.sent_id] for e in expressions]
    if len({len(mine) for mine in found}) > 1:
        raise InputError("cues: expressions have different numbers of them; decompose them again")
    return found
