"""Texts are tokenised once and share ids."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from pipeline.training.texts import TextTable
from tests.training import tiny


def test_equal_texts_share_an_id_and_keep_their_tokens() -> None:
    calls: list[list[str]] = []

    def tokenize(texts: list[str]) -> Tensor:
        calls.append(texts)
        return tiny.WordEncoder().tokenize(texts)

    table = TextTable(["red cup", "blue cup", "red cup"], tokenize)  # type: ignore[arg-type]
    ids = table.ids(["red cup", "blue cup", "red cup"])
    assert calls == [["red cup", "blue cup"]]
    assert len(table) == 2 and ids[0] == ids[2] != ids[1]
    expected = tiny.WordEncoder().tokenize(["red cup", "blue cup", "red cup"])
    assert (table.tokens(ids) == expected).all()
    assert table.tokens(np.stack([ids, ids])).shape == (2, 3, 6)


def test_texts_that_differ_only_after_the_context_are_equal() -> None:
    long = "one two three four five six"
    table = TextTable([f"{long} seven", f"{long} eight"], tiny.WordEncoder().tokenize)
    assert len(table) == 1
