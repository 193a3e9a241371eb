"""Every text of a data set, tokenised once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Tokenize = Callable[[Sequence[str]], Tensor]


class TextTable:
    """Tokens by row, one row for each different text.

    Two texts that give the same tokens are one text to a network (they differ in case, say, or only
    after the context ends), so they share an id: contrasting them would teach noise.
    """

    def __init__(self, texts: Iterable[str], tokenize: Tokenize) -> None:
        unique = list(dict.fromkeys(texts))
        rows, codes = np.unique(tokenize(unique).numpy(), axis=0, return_inverse=True)
        self._ids = dict(zip(unique, codes.reshape(-1).tolist(), strict=True))
        self._tokens = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._tokens)

    def ids(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """(N,) the id of each text; only texts that the table was made of."""
        return np.array([self._ids[text] for text in texts], dtype=np.int64)

    def tokens(self, ids: NDArray[np.int64]) -> Tensor:
        """(..., T) int64 tokens of (...) ids."""
        return self._tokens[torch.from_numpy(ids)]
