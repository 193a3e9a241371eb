"""Sentences of a mirrored picture: left and right change places.

"the man on the left" is a wrong sentence of the mirrored image, so a sentence either swaps its
words of direction or forbids the flip.
"""

from __future__ import annotations

import re

_SWAPS = {"left": "right", "right": "left", "lft": "rt", "rt": "lft", "l": "r", "r": "l"}
_SWAPS |= {"lefty": "righty", "righty": "lefty"}
_DIRECTION = re.compile(
    r"\b(left|right|lft|rt|l|r|lefty|righty)"
    r"(?P<ending>(?:[- ]?most|[- ]?hand(?:ed)?|wards?|er)?)\b(?!')",
    re.IGNORECASE,
)

# Words that a mirror does not turn ("right behind" is "directly behind", "left over" is what
# remains), and those whose counterpart cannot be written down: counting starts from a side that the
# sentence does not name, clocks and letters turn with the picture.
_FORBIDDEN = re.compile(
    r"\bright[ -](?:above|across|after|against|along|at|away|before|behind|below|beneath|beside"
    r"|between|by|here|in|inside|next|now|on top|out|over|there|under|underneath|up)\b"
    r"|\b(?:just|all|that'?s) right\b"
    r"|\bleft[ -]?overs?\b|\b(?:is|are|has|have|just|only) left\b|\bl[ -]shape"
    r"|\bo'?[ -]?clock\b|\bclockwise\b|\bdiagonal"
    r"|\b(?:east|west|letters?|reads?|says?|saying|words?|numbers?)\b|\d",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    r"\b(?:first|second|third|fourth|fifth|sixth|last|next)\b(?! row)", re.IGNORECASE
)


def mirrored(text: str) -> str | None:
    """The sentence of the mirrored image; None where it cannot be told, so it must not be."""
    if _FORBIDDEN.search(text):
        return None
    swapped = _DIRECTION.sub(_swap, text)
    # "second from left" names its side, "the second horse" leaves it to the reader
    if _ORDINAL.search(text) and swapped == text:
        return None
    return swapped


def _swap(match: re.Match[str]) -> str:
    word = match.group(1)
    other = _SWAPS[word.lower()]
    if word.isupper() and len(word) > 1:
        other = other.upper()
    elif word[0].isupper():
        other = other.capitalize()
    return other + match.group("ending")
