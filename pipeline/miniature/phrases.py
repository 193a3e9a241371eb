"""The words of the miniature: synonyms, and the phrasings of places and relations.

``{np}`` stands for a noun phrase, ``{of}`` for that of the other object of a relation. Order of the
templates does not matter for truth; every one of a list means the same.
"""

from __future__ import annotations

SYNONYMS: dict[str, tuple[str, ...]] = {
    # shapes
    "circle": ("circle", "circle", "disc", "disk"),
    "square": ("square", "square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
    "cross": ("cross", "cross", "plus"),
    "ring": ("ring", "ring", "hoop"),
    "heart": ("heart",),
    "moon": ("moon", "crescent"),
    # colours
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
    # textures
    "plain": ("plain", "plain", "solid"),
    "striped": ("striped", "striped", "stripy", "lined"),
    "dotted": ("dotted", "dotted", "spotted"),
    # sizes
    "small": ("small", "small", "little", "tiny"),
    "big": ("big", "big", "large"),
}
TEXTURE_TAILS: dict[str, tuple[str, ...]] = {
    "plain": ("with no pattern", "without a pattern"),
    "striped": ("with stripes", "with lines"),
    "dotted": ("with dots", "with spots"),
}
NOUNS: tuple[str, ...] = ("object", "thing", "shape", "one", "item")

APPEARANCE: tuple[str, ...] = ("{np}", "{np}", "the {np}", "the {np}", "a {np}", "the only {np}")

CAPTIONS: tuple[str, ...] = (
    "{np}",
    "{np}",
    "a {np}",
    "a {np}",
    "the {np}",
    "a picture of a {np}",
    "an image of a {np}",
)

SIDES: dict[str, tuple[str, ...]] = {
    "left": (
        "{np} on the left",
        "the {np} on the left",
        "{np} on left",
        "left {np}",
        "the left {np}",
        "the {np} on the left side",
        "{np} to the left",
        "on the left the {np}",
        "{np} at left",
    ),
    "right": (
        "{np} on the right",
        "the {np} on the right",
        "{np} on right",
        "right {np}",
        "the right {np}",
        "the {np} on the right side",
        "{np} to the right",
        "on the right the {np}",
        "{np} at right",
    ),
    "top": (
        "{np} at the top",
        "the {np} at the top",
        "top {np}",
        "the top {np}",
        "upper {np}",
        "the {np} near the top",
        "{np} up top",
        "at the top the {np}",
        "{np} at top",
    ),
    "bottom": (
        "{np} at the bottom",
        "the {np} at the bottom",
        "bottom {np}",
        "the bottom {np}",
        "lower {np}",
        "the {np} near the bottom",
        "{np} down low",
        "at the bottom the {np}",
        "{np} at bottom",
    ),
}
CORNERS: tuple[str, ...] = (
    "{np} in the {v} {h} corner",
    "the {np} in the {v} {h} corner",
    "{v} {h} {np}",
    "the {v} {h} {np}",
    "{np} at {v} {h}",
    "{np} {v} {h}",
    "in the {v} {h} corner the {np}",
    "the {np} at the {v} {h}",
)
CORNER_WORDS: dict[str, tuple[str, ...]] = {
    "top": ("top", "top", "upper"),
    "bottom": ("bottom", "bottom", "lower"),
    "left": ("left",),
    "right": ("right",),
}
MIDDLE: tuple[str, ...] = (
    "{np} in the middle",
    "the {np} in the middle",
    "middle {np}",
    "{np} in the center",
    "the {np} in the center of the picture",
    "center {np}",
    "the central {np}",
    "{np} in the middle of the image",
)
EXTREMES: dict[str, tuple[str, ...]] = {
    "left": (
        "leftmost {np}",
        "the leftmost {np}",
        "{np} furthest to the left",
        "the {np} farthest left",
        "first {np} from the left",
        "the {np} closest to the left edge",
    ),
    "right": (
        "rightmost {np}",
        "the rightmost {np}",
        "{np} furthest to the right",
        "the {np} farthest right",
        "first {np} from the right",
        "the {np} closest to the right edge",
    ),
    "top": (
        "topmost {np}",
        "the topmost {np}",
        "highest {np}",
        "the highest {np}",
        "uppermost {np}",
        "the {np} closest to the top edge",
    ),
    "bottom": (
        "bottommost {np}",
        "lowest {np}",
        "the lowest {np}",
        "the {np} furthest down",
        "the {np} closest to the bottom edge",
    ),
}
ORDINALS: tuple[str, ...] = (
    "{k} {np} from the {side}",
    "the {k} {np} from the {side}",
    "{np} {k} from the {side}",
    "{k} {np} from {side}",
    "from the {side} the {k} {np}",
)
ORDINAL_WORDS: tuple[str, ...] = ("first", "second", "third", "fourth")

RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of", "on the left side of"),
    "right": ("right of", "to the right of", "on the right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "underneath", "lower than"),
    "behind": ("behind", "partly hidden by", "partly covered by", "peeking out from behind"),
    "front": ("in front of", "partly covering", "partly hiding"),
    "next": ("next to", "beside", "near", "right next to", "by"),
    "closest": ("closest to", "nearest to", "nearest"),
}
RELATION_FORMS: tuple[str, ...] = (
    "{np} {rel} {of}",
    "the {np} {rel} {of}",
    "the {np} {rel} {of}",
    "the {np} that is {rel} {of}",
    "{np} {rel} {of}",
    "{rel} {of}, the {np}",
    "the {np} which is {rel} {of}",
)
NOUN_FORMS: tuple[str, ...] = ("that is", "which is", "and", "with")


def _words() -> tuple[str, ...]:
    lists: list[tuple[str, ...]] = [
        *SYNONYMS.values(),
        *TEXTURE_TAILS.values(),
        NOUNS,
        APPEARANCE,
        CAPTIONS,
        *SIDES.values(),
        CORNERS,
        *CORNER_WORDS.values(),
        MIDDLE,
        *EXTREMES.values(),
        ORDINALS,
        ORDINAL_WORDS,
        *RELATIONS.values(),
        RELATION_FORMS,
        NOUN_FORMS,
    ]
    found = {word.strip(",") for group in lists for text in group for word in text.split()}
    return tuple(sorted(word for word in found if "{" not in word))


WORDS: tuple[str, ...] = _words()
