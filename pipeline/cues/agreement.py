"""How well cues agree: with a right decomposition, or those of two backends with each other."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.cues.words import bases, content_words, same_word, words_of


def covers(cues: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether the cues together say every content word that the wanted phrases say."""
    said = [word for cue in cues for word in content_words(cue)]
    return all(
        any(same_word(word, other) for other in said)
        for phrase in wanted
        for word in content_words(phrase)
    )


def said_share(cues: Sequence[str], expression: str) -> float:
    """The share of the expression's distinct content words that its cues say; 1 if it has none."""
    wanted = set(content_words(expression))
    said = frozenset(base for cue in cues for word in content_words(cue) for base in bases(word))
    return sum(not bases(word).isdisjoint(said) for word in wanted) / len(wanted) if wanted else 1.0


def overlap(one: Sequence[str], other: Sequence[str]) -> float:
    """0 to 1, symmetric: each distinct phrase's best F1 of words among the other's, averaged over
    the phrases of both."""
    mine, theirs = (
        {frozenset(words_of(phrase)) - {"a", "an", "the"} for phrase in phrases}
        for phrases in (one, other)
    )
    best = [max(_f1(a, b) for b in theirs) for a in mine]
    best += [max(_f1(a, b) for a in mine) for b in theirs]
    return sum(best) / len(best)


def _f1(one: frozenset[str], other: frozenset[str]) -> float:
    together = len(one) + len(other)
    return 2 * len(one & other) / together if together else 1.0
