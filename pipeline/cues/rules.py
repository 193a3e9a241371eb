"""Cues without a model: an expression cut at the words where its parts begin.

English referring expressions mostly are one noun phrase with what follows it: "the tall man | in a
blue shirt | holding a bat | on the left". The cues are the noun, the noun with the words before it,
then the noun with each following part. What has another form keeps itself as its cue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.cues.words import word_set

_DETERMINERS = word_set("a an the this that these those his her its their only")
_PLACES = word_set(
    """left right top bottom middle center centre front back far upper lower leftmost rightmost
    topmost bottommost lowest highest uppermost corner side central lft rt btm mid foreground
    background"""
)
_RANKS = word_set(
    """first second third fourth fifth sixth last 1st 2nd 3rd 4th 5th leftmost rightmost topmost
    bottommost lowest highest uppermost closest nearest farthest furthest"""
)
_PREPOSITIONS = word_set(
    """in on at with without near next behind under underneath beneath below above over beside
    between from to by against along across around inside outside out toward towards facing closest
    nearest furthest farthest higher lower left right partly peeking not for onto into among
    w/ wearing up down"""
)
_RELATIVES = word_set("that which who whose whom where")
_COPULAS = word_set("is are was were 's")
# End in -ing or -ed but name or describe things: no part begins with them.
_NO_VERBS = word_set(
    """building ceiling railing wedding clothing painting evening morning king ring wing thing
    string spring sling ceiling pudding frosting topping earring swing red bed striped spotted
    dotted lined colored coloured checkered plaid bearded haired armed legged sided used
    old-fashioned tired framed sliced stuffed seed shed weed speed feed"""
)
_VERBS = word_set("held sitting standing wears holds sits stands looks")
_TOKEN = re.compile(r"w/|[^\s,;.!?\"()]+|[,;]")


def decompose(expression: str) -> list[str]:
    """The phrases of an expression, coarse to fine, before they are checked.

    Deterministic, of the expression alone; never empty for an expression with a word.
    """
    tokens = _TOKEN.findall(expression.strip())
    words = [token for token in tokens if token not in ",;"]
    if not words:
        return [expression]
    head, parts = _head_and_parts(tokens)
    noun, before, after = _noun_phrase(head)
    if noun is None:
        return [" ".join(words)]
    parts = ([after] if after else []) + parts
    places, ranks, looks = _sorted_out(before)
    found = [noun]
    if looks and not places and not ranks and not parts and len(looks) > 1:
        found.append(f"{looks[-1]} {noun}")
    full = " ".join([*looks, noun])
    found.append(full)
    if places:
        found.append(" ".join([*places, noun]))
    ranked = [part for part in parts if ranks and part[0] in ("from", "to", "in", "on")]
    if ranks and not ranked:
        found.append(" ".join([*ranks, full]))
    for part in parts:
        start = " ".join([*ranks, full]) if part in ranked[:1] else noun
        found.append(" ".join([start, *part]))
    return list(dict.fromkeys(found))


def _head_and_parts(tokens: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The words of the first noun phrase, and the parts that tell more about it."""
    chunks = _chunks(tokens)
    heads = [i for i, (opener, _) in enumerate(chunks) if opener == "" and chunks[i][1]]
    if not heads:
        # all is place ("on the left", "second from left"): the words as they are
        return [], [words for _, words in chunks]
    first = heads[0]
    parts = [words for i, (_, words) in enumerate(chunks) if i != first and words]
    return chunks[first][1], parts


def _chunks(tokens: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(kind, words): kind is "" for a noun phrase, else what the part begins with."""
    found: list[tuple[str, list[str]]] = [("", [])]
    place = 0
    while place < len(tokens):
        token = tokens[place]
        word = token.casefold()
        kind, words = found[-1]
        has_noun = any(chunk_kind == "" and chunk for chunk_kind, chunk in found)
        if token in ",;":
            found.append(("" if not has_noun else ",", []))
        elif word in _RELATIVES and words:
            # "that is red": what follows is told of the noun; the copula is kept out
            following = tokens[place + 1].casefold() if place + 1 < len(tokens) else ""
            place += following in _COPULAS
            keeps = word == "whose" or following in ("has", "have")
            found.append(("that", [token] if keeps else []))
        elif _opens(tokens, place, has_noun=has_noun, words=words, kind=kind):
            found.append((word, [token]))
        elif (
            not has_noun
            and kind != ""
            and word in _DETERMINERS
            and len(words) > 1
            and words[-1].casefold() not in _PREPOSITIONS - {"left", "right", "lower", "higher"}
            and words[-1].casefold() not in ("of",)
        ):
            # "on the left the red star": a second article starts the noun phrase
            found.append(("", [token]))
        elif word in ("and", "while") and _begins_part(tokens[place + 1 : place + 2]):
            pass
        else:
            words.append(token)
        place += 1
    return [(kind, words) for kind, words in found if words]


def _begins_part(following: Sequence[str]) -> bool:
    words = [token.casefold() for token in following]
    return any(word in _PREPOSITIONS | _RELATIVES or _is_verb(word) for word in words)


def _is_verb(word: str) -> bool:
    if word in _NO_VERBS or "-" in word:
        return False
    return word in _VERBS or (len(word) > 4 and word.endswith(("ing", "ed")))


def _opens(
    tokens: Sequence[str], place: int, *, has_noun: bool, words: list[str], kind: str
) -> bool:
    """Whether the token begins a new part."""
    word = tokens[place].casefold()
    before = words[-1].casefold() if words else ""
    after = tokens[place + 1].casefold() if place + 1 < len(tokens) else ""
    if _is_verb(word):
        # "peeking out from behind it, the star" begins so, "smiling man" with its noun phrase
        if not words:
            return kind == "" and not has_noun and after in _PREPOSITIONS
        if not has_noun or before in _DETERMINERS | _PREPOSITIONS or before == "and":
            return False
        # "in a blue shirt seated on a bench", but "in red flowered shirt"
        if kind == "that" and not after:
            return False
        return kind in ("", "that", ",") or word.endswith("ing") or after in _PREPOSITIONS
    if word not in _PREPOSITIONS or (words and not after):
        return False
    if word in ("left", "right", "lower", "higher"):
        return after in ("of", "than", "side") and before not in _DETERMINERS | _PREPOSITIONS | {
            "far",
            "upper",
            "lower",
        }
    if word in ("closest", "nearest", "furthest", "farthest"):
        # "the closest cup", but "the cup closest to me"
        return not words or (before not in _DETERMINERS and has_noun)
    if not words:
        return kind != "that"
    if before in _DETERMINERS:
        return False
    if _is_joined(before, word) or before in _COPULAS:
        return False
    # a verb takes the place that follows it: "sitting on the couch"
    told = [word for word in words if word.casefold() != "not"]
    return kind in ("", ",") or len(told) > 1 or not _is_verb(before)


_JOINED = {
    ("next", "to"),
    ("close", "to"),
    ("closest", "to"),
    ("nearest", "to"),
    ("furthest", "to"),
    ("farthest", "to"),
    ("farthest", "from"),
    ("furthest", "from"),
    ("hidden", "by"),
    ("covered", "by"),
    ("furthest", "down"),
    ("peeking", "out"),
    ("out", "from"),
    ("from", "behind"),
    ("partly", "over"),
    ("up", "on"),
    ("down", "on"),
    ("over", "by"),
    ("over", "in"),
    ("up", "to"),
}


_BEFORE_PLACES = word_set("partly right directly just all not")


def _is_joined(before: str, word: str) -> bool:
    return (before, word) in _JOINED or before in _BEFORE_PLACES


def _noun_phrase(words: Sequence[str]) -> tuple[str | None, list[str], list[str]]:
    """The noun (with its "of" phrase), the words before it, and place words after it.

    None for the noun where there is nothing but places.
    """
    own = list(words)
    while own and own[0].casefold() in _DETERMINERS:
        own = own[1:]
    tail: list[str] = []
    lowered = [word.casefold() for word in own]
    if "of" in lowered[1:]:
        cut = lowered.index("of", 1)
        if lowered[cut - 1] in _PLACES:
            return None, [], []
        return " ".join(own[cut - 1 :]), own[: cut - 1], []
    while len(own) > 1 and own[-1].casefold() in _PLACES:
        tail.insert(0, own.pop())
    if not own or own[-1].casefold() in _PLACES | _RANKS:
        return None, [], []
    return own[-1], own[:-1], tail


def _sorted_out(before: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Words before a noun: those of place, those of rank, and those of looks."""
    ranks = [word for word in before if word.casefold() in _RANKS]
    places = [word for word in before if word.casefold() in _PLACES - _RANKS]
    looks = [word for word in before if word not in ranks and word not in places]
    return places, ranks, looks
