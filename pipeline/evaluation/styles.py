"""The style of a referring sentence, told from its words: appearance, position or relation.

- relation: a spatial phrase joins the referent to another described object ("man left of the dog",
  "cup on the table").
- position: a place in the picture or an order, with no other object ("left man", "second from the
  right", "the one in the middle", "closest to the camera").
- appearance: neither ("red shirt", "woman holding a phone", "guy facing left").

A rule on a lexicon, so that it needs no model and gives the same answer for every dataset. It is a
way to group results, not a parser: sentences that people would argue about go either way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

STYLES: tuple[str, ...] = ("appearance", "position", "relation")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What takes an object behind it ("behind the car"); "in" and "on" too, with exceptions below.
JOINERS = _words(
    "above over below under underneath beneath behind beside besides near nearby by between "
    "among amongst amid against inside within outside around opposite across alongside along "
    "atop beyond touching covering covered hiding hidden blocking overlapping surrounding "
    "surrounded in on at next close closer adjacent"
)
# With "to": "next to", "closest to"; alone before an article: "nearest the door".
SUPERLATIVES = _words("nearest closest farthest furthest closer next close adjacent")
COMPARATIVES = _words("higher lower further farther closer nearer")
# With "of": "left of", "in front of", "on the top of".
SIDES = _words(
    "left right front back top bottom side middle center centre edge end corner rear ahead outside "
    "inside lft rt west east north south"
)
# Places in the picture, and orders.
PLACES = _words(
    "left right top bottom middle center centre central upper lower corner front back rear far "
    "background foreground backmost furthest farthest closest nearest closer nearer highest "
    "lowest first second third fourth fifth sixth seventh eighth last 1st 2nd 3rd 4th 5th 6th "
    "7th 8th lft rt rght btm mid near behind above below side end edge outer inner distance"
)
CLOCK = _words("o'clock oclock")
# Words of a complement that describe no object: "on the very left side", "closest to us".
DETERMINERS = _words("the a an this that these those his her its their our your my")
FRAME = _words(
    "picture image photo photograph pic frame screen shot scene view camera viewer us you me "
    "page row column line hand"
)
FILLERS = _words(
    "very most more all far just slightly direct directly almost extreme absolute upper lower "
    "own it itself him himself her herself themselves each other up down away off out too there "
    "here backwards only again"
)
# "in ..." and "on ..." that say how something looks or what it does.
LOOKS = _words(
    "red orange yellow green blue purple violet pink white black gray grey brown tan beige navy "
    "maroon teal gold silver dark light bright striped stripes plaid polka color colors colour "
    "shirt shirts tshirt tee sweater sweatshirt hoodie jacket coat vest suit tie dress skirt "
    "pants jeans shorts trousers hat cap helmet glasses sunglasses shoes sneakers boots sandals "
    "socks gloves uniform jersey outfit clothes clothing costume robe gown scarf apron overalls "
    "bikini swimsuit wetsuit blouse top tank sleeves stripe denim leather khaki khakis gear "
    "goggles headband bandana bow belt backpack makeup motion focus action profile flight use "
    "full fire display sale midair mid-air air bloom general particular"
)
BODY = _words(
    "hand hands arm arms leg legs foot feet shoulder eye eyes ear ears knee elbow wrist hip "
    "cheek handed paw paws wing tail thumb finger fingers"
)
GAZE = _words("facing looking looks faces turned turning pointing leaning staring smiling glancing")
GARMENT_KINDS = _words("tank crop halter tube pajama pyjama striped sleeveless sleeved low")
# Words that end a complement, besides a second article: "on the left | the red one".
STOPS = _words(
    "that which who whose is are was with without wearing holding and but or of from to for while "
    "as than"
)
NOUNS_IN_ING = _words(
    "ring king thing wing string ceiling painting railing awning earring swing building clothing "
    "something anything icing sting spring darling sibling herring pudding topping"
)


def tokens_of(text: str) -> list[str]:
    """Lower-case words of letters, digits and inner apostrophes or hyphens."""
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", text.lower())


def _place_like(word: str) -> bool:
    """left, second, leftmost, center-left ... but not almost and utmost."""
    parts = word.split("-")
    if len(parts) > 1:
        return any(_place_like(part) for part in parts)
    superlative = word.endswith("most") and word not in ("most", "almost", "utmost")
    return word in PLACES or superlative


def _complement(words: Sequence[str], start: int) -> list[str]:
    """The words of the noun phrase that starts at ``start``."""
    found: list[str] = []
    for at, word in enumerate(words[start:]):
        verb = word.endswith("ing") and word not in NOUNS_IN_ING
        if word in STOPS or (at and (word in DETERMINERS or word in JOINERS)) or (at and verb):
            break
        found.append(word)
    return found


def _names_object(phrase: Sequence[str], *, joiner: str) -> bool:
    """Does a complement describe an object, not only a place, the picture or the onlooker?"""
    if joiner in ("in", "on") and any(word in LOOKS for word in phrase):
        return False
    if any(word in CLOCK for word in phrase):  # "at 3 o'clock"
        return False
    empty = DETERMINERS | FRAME | FILLERS
    return any(not (word in empty or _place_like(word)) for word in phrase)


def _object_after(words: Sequence[str], at: int) -> bool:
    """Does a spatial phrase that takes an object begin with the word at ``at``?"""
    word = words[at]
    after = words[at + 1] if at + 1 < len(words) else ""
    before = words[at - 1] if at else ""
    start = at + 1
    if word in SIDES and after == "of":
        start = at + 2
    elif word in SUPERLATIVES:
        if after == "to":
            start = at + 2
        elif after not in DETERMINERS:
            return False
    elif word in COMPARATIVES:
        if after != "than":
            return False
        start = at + 2
    elif word not in JOINERS or (word == "at" and before in GAZE):
        return False
    if start < len(words) and words[start] == "of":  # "outside of", "inside of"
        start += 1
    if start < len(words) and words[start] in ("to", "from", "by"):  # "across from", "hidden by"
        start += 1
    return _names_object(_complement(words, start), joiner=word)


def _says_place(words: Sequence[str], at: int) -> bool:
    """Is the word at ``at`` a place in the picture, not part of a body, a garment or a pose?"""
    word = words[at]
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if word in CLOCK:
        return True
    if word == "low" or word == "high":
        return before in ("down", "up")
    if not _place_like(word):
        return False
    if word in ("left", "right"):
        turned = any(w in GAZE for w in words[max(0, at - 3) : at])
        of_body = after in BODY and not (after == "hand" and "side" in words[at + 2 : at + 3])
        return not turned and not of_body
    if word == "top":
        garment = before in LOOKS or before in GARMENT_KINDS
        return not garment or after in ("left", "right", "corner")
    if word in ("back", "front", "side", "end", "edge"):
        own = before in ("his", "her", "its", "their")
        pose = word == "back" and (after in ("to", "turned") or before in GAZE)
        return not own and not pose
    if word == "middle":
        return after != "aged"
    return True


def style_of(text: str) -> str:
    """appearance, position or relation; a relation may use words of place, so it is asked first."""
    words = tokens_of(text)
    if any(_object_after(words, at) for at in range(len(words))):
        return "relation"
    if any(_says_place(words, at) for at in range(len(words))):
        return "position"
    return "appearance"
