"""The right decomposition of a sentence of the miniature, from coarse to fine.

First what the thing is, then how it looks, then where it is: each a phrase about the thing itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# "on the left the {np}", "from the top the second {np}": the place comes before the thing
_PLACE_FIRST = re.compile(r"(?P<place>(?:on|at|in|from) .+) the (?P<thing>[^{]*\{np\})")


@dataclass(frozen=True)
class NounPhrase:
    """A thing in words: "small red", "star", "with stripes"."""

    before: tuple[str, ...]
    noun: str
    tail: str

    def __str__(self) -> str:
        return " ".join([*self.before, self.noun, *([self.tail] if self.tail else [])])


def decomposition(
    thing: NounPhrase, place: str | None = None, *, ranked: bool = False
) -> tuple[str, ...]:
    """Different phrases, one to three.

    ``place`` says where the thing is (or beside what) around ``{np}``. It is told of the bare noun,
    or if ``ranked`` of the whole noun phrase. Without a place, a look of several words is told in
    two steps.
    """
    found = [thing.noun]
    if place is None and len(thing.before) + bool(thing.tail) > 1:
        found.append(f"{thing.before[-1]} {thing.noun}")
    found.append(str(thing))
    if place is not None:
        turned = _PLACE_FIRST.fullmatch(place)
        if turned:
            place = f"{turned['thing']} {turned['place']}"
        found.append(place.removeprefix("the ").format(np=thing if ranked else thing.noun))
    return tuple(dict.fromkeys(found))
