"""From the phrases that a backend proposes to the cues that a network gets.

A model's answer is a stranger's text: it is cleaned, bounded and held against the expression, and
what the expression does not say is dropped.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.cues.words import NEGATORS, bases, content_words, word_set, words_of

Fill = Literal["last", "cycle"]
# of a phrase: ASCII punctuation, typographic quotes and dashes
_EDGES = (
    string.whitespace
    + string.punctuation
    + "\u00b4\u00ab\u00bb\u2013\u2014\u2018\u2019\u201c\u201d"
)


@dataclass(frozen=True, slots=True)
class Cues:
    """The phrases of one expression, coarse to fine, K of them.

    source: who made them: `llm`, `rules`, or `expression` where nothing usable came back.
    made: how many are distinct, the others repeat them.
    dropped: how many proposed phrases were refused.
    """

    cues: tuple[str, ...]
    source: str
    made: int
    dropped: int


def settled(
    proposed: Sequence[str],
    expression: str,
    *,
    source: str,
    count: int,
    max_length: int,
    fill: Fill,
) -> Cues:
    """The cues of an expression from the phrases that were proposed for it.

    A phrase counts if, cleaned, it has at most ``max_length`` characters, says something, and says
    nothing that the expression does not. Phrases that differ by case and spaces are one. The first
    ``count`` are kept; if there are fewer, some are repeated: the ``last``, or all in turn
    (``cycle``; PCNet, section 3.1, says only that some are). None left: the expression itself.
    """
    said = _Said(expression)
    kept: dict[str, str] = {}
    dropped = 0
    for phrase in proposed:
        text = cleaned(phrase)
        if len(text) > max_length or not said.supports(text):
            dropped += 1
        else:
            kept.setdefault(text.casefold(), text)
    found = list(kept.values())[:count]
    if not found:
        found, source = [cleaned(expression) or expression], "expression"
    lacking = count - len(found)
    more = (
        [found[-1]] * lacking if fill == "last" else [found[i % len(found)] for i in range(lacking)]
    )
    return Cues(tuple(found + more), source, len(found), dropped)


def cleaned(phrase: str) -> str:
    """The phrase in composed Unicode with single spaces, without control or other invisible
    characters and without punctuation at its ends."""
    composed = unicodedata.normalize("NFKC", phrase)
    visible = (" " if c.isspace() else c for c in composed if c.isspace() or _is_visible(c))
    return " ".join("".join(visible).split()).strip(_EDGES)


def _is_visible(character: str) -> bool:
    return not unicodedata.category(character).startswith("C")


class _Said:
    """What an expression says, to hold phrases against."""

    def __init__(self, expression: str) -> None:
        words = [part for word in words_of(expression) for part in word.split("-")]
        joined = [word.replace("-", "") for word in words_of(expression) if "-" in word]
        self._bases = frozenset(base for word in [*words, *joined] for base in bases(word))
        denied = set[str]()
        for place, word in enumerate(words):
            if word in NEGATORS:
                denied.update(content_words(" ".join(words[place + 1 :]))[:1])
        self._denied = frozenset(base for word in denied for base in bases(word))

    def supports(self, phrase: str) -> bool:
        """Whether the phrase has content, all of it the expression's, nothing denied in it."""
        content = content_words(phrase)
        named = [word for word in words_of(phrase) if word not in _ARTICLES]
        if not named or any(bases(word).isdisjoint(self._bases) for word in content):
            return False
        if not content and any(bases(word).isdisjoint(self._bases) for word in named):
            return False
        denies = any(word in NEGATORS for word in words_of(phrase))
        return denies or all(bases(word).isdisjoint(self._denied) for word in content)


_ARTICLES = word_set("a an the")
