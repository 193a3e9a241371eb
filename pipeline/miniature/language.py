"""Sentences that are true of exactly one object of a scene, in three styles.

A sentence is *chosen by meaning first* (a subset of attributes, a place, a relation; checked by
``truth.Facts``) and worded afterwards, so that wording can vary freely.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.miniature import phrases
from pipeline.miniature.decomposition import NounPhrase, decomposition
from pipeline.miniature.scenes import Scene, SceneObject, pick
from pipeline.miniature.shapes import Bools
from pipeline.miniature.truth import Facts, Indices, Verdict

WORDS: tuple[str, ...] = phrases.WORDS
STYLES: tuple[str, ...] = ("appearance", "position", "relation")
# Some place singles out nearly every object, attributes and relations only some: they go first.
STYLE_WEIGHTS: dict[str, float] = {"appearance": 2.2, "position": 0.6, "relation": 2.0}
SENTENCE_COUNTS: tuple[int, ...] = (2, 2, 2, 3, 3, 3, 3, 4, 4, 3)  # mean 2.9
MAX_WORDS = 16
_WORDING_TRIES = 6


@dataclass(frozen=True)
class Sentence:
    """``sent`` is ``raw`` in lower case without punctuation; ``style`` is for tests only.

    ``cues`` is its right decomposition, which the small LLM learns.
    """

    raw: str
    sent: str
    style: str
    cues: tuple[str, ...]


@dataclass(frozen=True)
class Referent:
    """An object (its index in the scene) with the sentences that mean it."""

    index: int
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Meaning:
    """What a sentence says of an object, before it is worded."""

    style: str
    attributes: tuple[str, ...]
    place: tuple[str, ...] = ()  # ('side', 'left'), ('corner', 'top', 'left'), ('rank', '1', 'top')
    relation: str = ""
    anchor: int = -1
    anchor_attributes: tuple[str, ...] = ()
    weight: float = 1.0


def clean(raw: str) -> str:
    """Lower case, letters and digits only, single spaces."""
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", raw.lower()).split())


def noun_phrase(
    thing: SceneObject, attributes: Collection[str], rng: np.random.Generator, *, tails: str
) -> str:
    """:func:`noun_parts` in one piece."""
    return str(noun_parts(thing, attributes, rng, tails=tails))


def noun_parts(
    thing: SceneObject, attributes: Collection[str], rng: np.random.Generator, *, tails: str
) -> NounPhrase:
    """An object by some of its attributes, without an article.

    ``tails`` says what may follow the noun: '' nothing, 'with' a texture ("with stripes"), 'any'
    also a clause ("that is red").
    """
    word = {a: pick(rng, phrases.SYNONYMS[thing.value(a)]) for a in attributes}
    noun = word.pop("shape", None) or pick(rng, phrases.NOUNS)
    draw = rng.random()
    tail = ""
    if "texture" in word and tails and draw < 0.3:
        del word["texture"]
        tail = pick(rng, phrases.TEXTURE_TAILS[thing.texture])
    elif tails == "any" and word and draw > 0.85:
        said = [word.pop(a) for a in ("colour", "texture") if a in word] or [word.pop("size")]
        tail = f"{pick(rng, ('that is', 'which is'))} {' and '.join(said)}"
    order = ["size", "colour", "texture"] if rng.random() < 0.6 else ["size", "texture", "colour"]
    if rng.random() < 0.1:
        order = [*order[1:], order[0]]
    return NounPhrase(tuple(word[a] for a in order if a in word), noun, tail)


def _naming(subset: tuple[str, ...]) -> float:
    """People nearly always say what a thing is ("the red star"), seldom just "the red one"."""
    return (8.0 if "shape" in subset else 1.0) * (1 + len(subset))


def _appearance(options: Sequence[tuple[tuple[str, ...], Indices]], me: int) -> list[Meaning]:
    unique = [subset for subset, same in options if same == {me} and subset]
    return [Meaning("appearance", s, weight=_naming(s)) for s in unique]


def _position(
    facts: Facts, options: Sequence[tuple[tuple[str, ...], Indices]], me: int
) -> list[Meaning]:
    found: list[Meaning] = []
    sides = {s: facts.side(s) for s in ("left", "right", "top", "bottom")}
    places: dict[tuple[str, ...], Verdict] = {("side", s): v for s, v in sides.items()}
    places |= {
        ("corner", v, h): facts.corner(v, h) for v in ("top", "bottom") for h in ("left", "right")
    }
    places["middle",] = facts.middle()
    for subset, same in options:
        weight = _naming(subset)
        for place, verdict in places.items():
            if verdict.names(me, same):
                rarity = 2.0 if place[0] != "side" else 1.0
                found.append(Meaning("position", subset, place, weight=weight * rarity))
        if len(same) < 2:
            continue
        for side in sides:
            rank = facts.rank(me, side, same)
            # "Second of two" is odd: say the other end instead.
            if rank == 0 or (rank is not None and rank < len(same) - 1):
                ranked = ("rank", str(rank), side)
                found.append(Meaning("position", subset, ranked, weight=weight * (1.0 + rank)))
    return found


def _relation(
    facts: Facts, options: Sequence[tuple[tuple[str, ...], Indices]], me: int
) -> list[Meaning]:
    found: list[Meaning] = []
    for anchor in sorted(facts.all - {me}):
        named = [s for s, same in facts.descriptions(anchor) if same == {anchor} and s]
        if not named:
            continue
        shortest = min(len(s) for s in named)
        named = [s for s in named if len(s) <= shortest + 1 and "shape" in s] or named[:1]
        verdicts = {r: facts.relation(r, anchor) for r in phrases.RELATIONS if r != "closest"}
        for subset, same in options:
            weight = _naming(subset)
            for relation in phrases.RELATIONS:
                if relation == "closest":
                    true = facts.closest(anchor, same) == me
                else:
                    true = verdicts[relation].names(me, same)
                if true:
                    rarity = 2.0 if relation in ("behind", "front", "closest") else 1.0
                    found.append(
                        Meaning(
                            "relation",
                            subset,
                            (),
                            relation,
                            anchor,
                            named[0],
                            weight=weight * rarity,
                        )
                    )
                    found.extend(
                        Meaning(
                            "relation",
                            subset,
                            (),
                            relation,
                            anchor,
                            other,
                            weight=weight * rarity * 0.4,
                        )
                        for other in named[1:3]
                    )
    return found


def _choose(rng: np.random.Generator, meanings: Sequence[Meaning]) -> Meaning:
    at = float(rng.random()) * sum(m.weight for m in meanings)
    for meaning in meanings:
        at -= meaning.weight
        if at < 0:
            return meaning
    return meanings[-1]


def place_phrase(place: tuple[str, ...], np_: str, rng: np.random.Generator) -> str:
    """Words a noun phrase together with a place of ``Meaning.place``."""
    return _place_template(place, rng).format(np=np_)


def _place_template(place: tuple[str, ...], rng: np.random.Generator) -> str:
    """The words of a place around ``{np}``."""
    kind = place[0]
    if kind == "side":
        return pick(rng, phrases.SIDES[place[1]])
    if kind == "corner":
        v, h = (pick(rng, phrases.CORNER_WORDS[word]) for word in place[1:])
        return pick(rng, phrases.CORNERS).format(np="{np}", v=v, h=h)
    if kind == "middle":
        return pick(rng, phrases.MIDDLE)
    rank, side = int(place[1]), place[2]
    if rank == 0:
        return pick(rng, phrases.EXTREMES[side])
    ordinal = phrases.ORDINAL_WORDS[rank]
    return pick(rng, phrases.ORDINALS).format(np="{np}", k=ordinal, side=side)


def _word(
    scene: Scene, me: int, meaning: Meaning, rng: np.random.Generator
) -> tuple[str, tuple[str, ...]]:
    """The words of a meaning, and their right decomposition."""
    thing = scene.objects[me]
    if meaning.style == "appearance":
        np_ = noun_parts(thing, meaning.attributes, rng, tails="any")
        return pick(rng, phrases.APPEARANCE).format(np=np_), decomposition(np_)
    np_ = noun_parts(thing, meaning.attributes, rng, tails="with")
    if meaning.style == "position":
        template = _place_template(meaning.place, rng)
        # "leftmost" is said of the whole noun phrase: the leftmost red star need not be
        # the leftmost star.
        ranked = meaning.place[0] == "rank"
        return template.format(np=np_), decomposition(np_, template, ranked=ranked)
    # Nothing may follow the other object's noun: it would be unclear of which it is said.
    other = noun_phrase(scene.objects[meaning.anchor], meaning.anchor_attributes, rng, tails="")
    relation = pick(rng, phrases.RELATIONS[meaning.relation])
    form = pick(rng, phrases.RELATION_FORMS)
    text = form.format(np=np_, rel=relation, of=f"the {other}")
    related = f"{{np}} {relation} the {other}"
    return text, decomposition(np_, related, ranked=meaning.relation == "closest")


def roughen(text: str, rng: np.random.Generator) -> str:
    """Capitals and punctuation as people type them; ``clean`` undoes it."""
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    elif rng.random() < 0.03:
        text = text.upper()
    draw = rng.random()
    return text + ("." if draw < 0.22 else "!" if draw < 0.24 else " " if draw < 0.28 else "")


def describe(scene: Scene, facts: Facts, me: int, rng: np.random.Generator) -> list[Sentence]:
    """Two to four different sentences that mean object ``me`` alone; [] if there are none."""
    options = facts.descriptions(me)
    by_style = {
        "appearance": _appearance(options, me),
        "position": _position(facts, options, me),
        "relation": _relation(facts, options, me),
    }
    wanted = pick(rng, SENTENCE_COUNTS)
    found: dict[str, Sentence] = {}
    # Styles are drawn without replacement, then anew, so that a referent has various ones.
    queue: list[str] = []
    for _ in range(_WORDING_TRIES * wanted):
        possible = [s for s in STYLES if by_style[s]]
        if not possible or len(found) == wanted:
            break
        if not queue:
            keys = {s: float(rng.random()) / STYLE_WEIGHTS[s] for s in possible}
            queue = sorted(possible, key=lambda s: keys[s])
        style = queue.pop(0)
        text, cues = _word(scene, me, _choose(rng, by_style[style]), rng)
        raw = roughen(text, rng)
        sent = clean(raw)
        if len(sent.split()) <= MAX_WORDS:
            found.setdefault(sent, Sentence(raw, sent, style, cues))
    return list(found.values()) if len(found) >= 2 else []


def referents(
    scene: Scene, visible: Bools, rng: np.random.Generator, eligible: Collection[int] | None = None
) -> list[Referent]:
    """The objects of a scene that can be meant, with their sentences, in a random order."""
    facts = Facts(scene, visible)
    who = [i for i in sorted(facts.all) if eligible is None or i in eligible]
    found = [(float(rng.random()), i, describe(scene, facts, i, rng)) for i in who]
    return [Referent(i, tuple(said)) for _, i, said in sorted(found, key=lambda f: f[0]) if said]
