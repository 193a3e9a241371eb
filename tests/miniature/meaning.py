"""An independent reader of the miniature's sentences: text and ground truth in, objects out.

It shares no code and no word list with ``pipeline.miniature.language``: it has its own lexicon and
grammar, takes positions from the visible masks, and decides every question by one threshold in the
middle of where the writer leaves a margin. An unknown word is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEXICON: dict[str, tuple[str, str]] = {}
for _attribute, _entries in {
    "shape": "circle=circle disc disk|square=square box|triangle=triangle|star=star|"
    "cross=cross plus|ring=ring hoop|heart=heart|moon=moon crescent",
    "colour": "red=red|orange=orange|yellow=yellow|green=green|blue=blue|purple=purple violet|"
    "pink=pink|white=white",
    "texture": "plain=plain solid|striped=striped stripy lined|dotted=dotted spotted",
    "size": "small=small little tiny|big=big large",
}.items():
    for _entry in _entries.split("|"):
        _value, _names = _entry.split("=")
        for _name in _names.split():
            LEXICON[_name] = (_attribute, _value)
GENERIC = {"object", "thing", "shape", "one", "item"}
NOUNS = {name for name, (attribute, _) in LEXICON.items() if attribute == "shape"} | GENERIC
TAILS = {
    "with no pattern": "plain",
    "without a pattern": "plain",
    "with stripes": "striped",
    "with lines": "striped",
    "with dots": "dotted",
    "with spots": "dotted",
}
FILLERS = {"the", "a", "only", "that", "which", "is", "and"} | GENERIC
RELATIONS = {
    "left": r"(?:to |on )?(?:the )?left(?: side)? of",
    "right": r"(?:to |on )?(?:the )?right(?: side)? of",
    "above": r"above|over|higher than",
    "below": r"below|under|beneath|underneath|lower than",
    "behind": r"peeking out from behind|behind|partly hidden by|partly covered by",
    "front": r"in front of|partly covering|partly hiding",
    "next": r"(?:right )?next to|beside|near|by",
    "closest": r"closest to|nearest to|nearest",
}
SIDE = r"(left|right|top|bottom)"
EXTREMES = {
    "left": r"leftmost|furthest to the left|farthest left|closest to the left edge",
    "right": r"rightmost|furthest to the right|farthest right|closest to the right edge",
    "top": r"topmost|highest|uppermost|closest to the top edge",
    "bottom": r"bottommost|lowest|furthest down|closest to the bottom edge",
}
SIDES = {
    "left": r"(?:(?:on|at|to) )?(?:the )?left(?: side)?",
    "right": r"(?:(?:on|at|to) )?(?:the )?right(?: side)?",
    "top": r"(?:at|near) (?:the )?top|up top|top|upper",
    "bottom": r"(?:at|near) (?:the )?bottom|down low|bottom|lower",
}
MIDDLE = r"(?:in the )?(?:middle|center|central)(?: of the (?:image|picture))?"
CORNER = r"(?:(?:in|at) )?(?:the )?(top|upper|bottom|lower) (left|right)(?: corner)?"
RANKS = {"first": 0, "second": 1, "third": 2, "fourth": 3}


@dataclass(frozen=True)
class World:
    """Ground truth of one scene. Positions and radii are shares of the canvas side."""

    attributes: tuple[dict[str, str], ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    hides: NDArray[np.int64]  # [j, i]: pixels of i's whole outline under visible pixels of j
    enough: float  # pixels from which on something is said to be hidden


def world(
    attributes: tuple[dict[str, str], ...],
    radii: list[float],
    visible: NDArray[np.bool_],
    outlines: NDArray[np.bool_],
) -> World:
    """Measures the masks (N,H,W) of one scene; radii in px."""
    side = visible.shape[-1]
    centres = np.array([np.argwhere(m).mean(axis=0) + 0.5 for m in visible]) / side
    hides = np.array(
        [
            [0 if i == j else int((v & o).sum()) for i, o in enumerate(outlines)]
            for j, v in enumerate(visible)
        ]
    )
    return World(
        attributes, centres[:, 1], centres[:, 0], np.array(radii) / side, hides, 0.0009 * side**2
    )


def _noun_phrase(text: str, scene: World) -> set[int]:
    """Objects that a noun phrase (place and relation already taken out) is true of."""
    wanted: set[tuple[str, str]] = set()
    for tail, texture in TAILS.items():
        if re.search(rf"\b{tail}\b", text):
            text = re.sub(rf"\b{tail}\b", " ", text)
            wanted.add(("texture", texture))
    for word in text.split():
        if word in LEXICON:
            wanted.add(LEXICON[word])
        elif word not in FILLERS:
            raise ValueError(f"cannot read {word!r} in {text!r}")
    return {i for i, a in enumerate(scene.attributes) if all(a[k] == v for k, v in wanted)}


def _cut(pattern: str, text: str) -> tuple[re.Match[str], str] | None:
    match = re.search(rf"\b(?:{pattern})(?![a-z])", text)
    return (match, f"{text[: match.start()]} {text[match.end() :]}") if match else None


def _along(scene: World, side: str) -> NDArray[np.float64]:
    values = scene.x if side in ("left", "right") else scene.y
    return values if side in ("left", "top") else 1 - values


def _nth(scene: World, among: set[int], side: str, rank: int) -> set[int]:
    """The object at a rank from a side with all whose order cannot be seen."""
    order = sorted(among, key=lambda i: _along(scene, side)[i])
    if len(order) <= rank:
        return set()
    at = _along(scene, side)[order[rank]]
    return {i for i in among if abs(_along(scene, side)[i] - at) < 0.07}


def _related(scene: World, name: str, i: int, anchor: int) -> bool:
    dx, dy = scene.x[i] - scene.x[anchor], scene.y[i] - scene.y[anchor]
    if name == "behind":
        return bool(scene.hides[anchor, i] > scene.enough)
    if name == "front":
        return bool(scene.hides[i, anchor] > scene.enough)
    if name == "next":
        return bool(np.hypot(dx, dy) - scene.radius[i] - scene.radius[anchor] < 0.095)
    forth = {"left": -dx, "right": dx, "above": -dy, "below": dy}[name]
    aside = dy if name in ("left", "right") else dx
    return bool(forth > 0.095 and abs(aside) <= forth)


def _relation(text: str, scene: World) -> set[int] | None:
    hits = [
        (match.start(), -len(match.group()), name, match)
        for name, pattern in RELATIONS.items()
        if (match := re.search(rf"\b(?:{pattern})\b", text))
    ]
    if not hits:
        return None
    _, _, name, match = min(hits, key=lambda h: h[:2])
    before, after = text[: match.start()].split(), text[match.end() :].split()
    if before:
        target, anchor = before, after
    else:  # "left of the red star the circle": the first noun ends the other object
        end = next(k for k, word in enumerate(after) if word in NOUNS) + 1
        target, anchor = after[end:], after[:end]
    anchors = _noun_phrase(" ".join(anchor), scene)
    targets = _noun_phrase(" ".join(target), scene)
    if len(anchors) != 1:
        raise ValueError(f"{len(anchors)} objects are {' '.join(anchor)!r} in {text!r}")
    (other,) = anchors
    targets -= {other}
    if name != "closest":
        return {i for i in targets if _related(scene, name, i, other)}
    distance = {
        i: np.hypot(scene.x[i] - scene.x[other], scene.y[i] - scene.y[other]) for i in targets
    }
    return {i for i in targets if distance[i] < min(distance.values()) + 0.07}


def meant(text: str, scene: World) -> set[int]:
    """Indices of the objects of which a cleaned sentence is true."""
    for side, pattern in EXTREMES.items():
        if cut := _cut(pattern, text):
            return _nth(scene, _noun_phrase(cut[1], scene), side, 0)
    if cut := _cut(rf"from (?:the )?{SIDE}", text):
        side, rest = cut[0].group(1), cut[1]
        ranked = _cut("|".join(RANKS), rest)
        assert ranked is not None, text
        return _nth(scene, _noun_phrase(ranked[1], scene), side, RANKS[ranked[0].group()])
    # "near the top" is a place, "near the star" a relation.
    place = re.search(r"\bnear the (?:top|bottom)$", text)
    if not place and (found := _relation(text, scene)) is not None:
        return found
    if cut := _cut(CORNER, text):
        vertical = "top" if cut[0].group(1) in ("top", "upper") else "bottom"
        a, b = _along(scene, vertical), _along(scene, cut[0].group(2))
        return {i for i in _noun_phrase(cut[1], scene) if max(a[i], b[i]) < 0.465}
    if cut := _cut(MIDDLE, text):
        off = np.maximum(abs(scene.x - 0.5), abs(scene.y - 0.5))
        return {i for i in _noun_phrase(cut[1], scene) if off[i] < 0.165}
    for side, pattern in SIDES.items():
        if cut := _cut(pattern, text):
            along = _along(scene, side)
            return {i for i in _noun_phrase(cut[1], scene) if along[i] < 0.465}
    return _noun_phrase(text, scene)
