"""Words of English referring expressions: which carry content, and when two are the same word.

Small rules of inflection in place of a dictionary: they only have to tell whether a word of a
phrase was taken from its expression ("stripes" from "striped", "wearing" from "wears").
"""

from __future__ import annotations

import re
import unicodedata


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written as running text."""
    return frozenset(text.split())


# Letters and digits with what joins them inside a word ("t-shirt", "man's").
_WORD = re.compile(r"\w+(?:['\-]\w+)*")

NEGATORS = word_set("no not without never none nobody isnt isn't arent aren't doesnt doesn't")
FUNCTION_WORDS = word_set("""
    a an the this that these those some any its it his her their he she they him them who whom whose
    which what is are was were be been being am do does did has have had having can could will would
    of in on at to from by with for as into onto and or but so than then there here also just only
    very really while
    one ones thing object person
    """)  # "person" and the like stand in for nouns that the expression leaves out ("he", "one")

_IRREGULAR = {
    base: forms.split()
    for base, forms in {
        "man": "men mans",
        "woman": "women womans",
        "child": "children childs",
        "foot": "feet",
        "tooth": "teeth",
        "mouse": "mice",
        "goose": "geese",
        "person": "people",
        "knife": "knives",
        "leaf": "leaves",
        "half": "halves",
        "shelf": "shelves",
        "wear": "wore worn",
        "hold": "held",
        "sit": "sat",
        "stand": "stood",
        "run": "ran",
        "eat": "ate eaten",
        "ride": "rode ridden",
        "throw": "threw thrown",
        "catch": "caught",
        "lie": "lay lain lying",
        "lean": "leant",
        "hide": "hid hidden",
        "bite": "bit bitten",
        "break": "broke broken",
        "cut": "cutting",
        "swing": "swung",
        "drive": "drove driven",
        "feed": "fed",
        "show": "shown",
        "have": "has had having",
        "left": "lft leftmost lefthand",
        "right": "rt rightmost righthand",
        "bottom": "btm bottommost",
        "top": "topmost",
        "two": "2",
        "three": "3",
        "four": "4",
        "first": "1st",
        "second": "2nd",
        "third": "3rd",
        "fourth": "4th",
        "gray": "grey",
        "center": "centre",
        "colored": "coloured",
        "tv": "television",
        "photo": "picture pic",
        "far": "farthest furthest further farther",
        "close": "closest closer",
    }.items()
}
_BASES = {form: base for base, forms in _IRREGULAR.items() for form in forms}


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, compatibility forms and curly quotes made plain."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
    return _WORD.findall(plain)


def content_words(text: str) -> list[str]:
    """The words that say something of a thing; hyphenated ones part by part."""
    found = [part for word in words_of(text) for part in word.split("-")]
    return [word for word in found if word not in FUNCTION_WORDS and word not in NEGATORS]


def bases(word: str) -> frozenset[str]:
    """What a lower-case word may be a form of; itself among them. Two words whose bases meet are
    forms of one word."""
    found = {word, word.replace("'", "")}
    stem = re.sub(r"'s?$", "", word)
    found.add(stem)
    if stem in _BASES:
        found.add(_BASES[stem])
    for ending, put in (("ies", "y"), ("ied", "y"), ("ves", "f"), ("iest", "y"), ("ier", "y")):
        if stem.endswith(ending) and len(stem) > len(ending) + 1:
            found.add(stem.removesuffix(ending) + put)
    if stem.endswith("s") and not stem.endswith("ss") and len(stem) > 3:
        found.add(stem[:-1])
        if re.search(r"(?:s|x|z|ch|sh|o)es$", stem):
            found.add(stem[:-2])
    for ending in ("ing", "ed", "est", "er", "ly"):
        if stem.endswith(ending) and len(stem) > len(ending) + 2:
            cut = stem.removesuffix(ending)
            found |= {cut, cut + "e"}
            if len(cut) > 2 and cut[-1] == cut[-2]:
                found.add(cut[:-1])
    # "stripy" and "striped", "cloudy" and "clouds"
    if stem.endswith("y") and len(stem) > 4:
        found |= {stem[:-1], stem[:-1] + "e"}
    return frozenset(found)


def same_word(one: str, other: str) -> bool:
    """Whether two lower-case words are forms of one word."""
    return one == other or not bases(one).isdisjoint(bases(other))
