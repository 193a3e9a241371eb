"""Every sentence is true of exactly one object, as an independent reader understands it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.miniature import WORDS, Example
from pipeline.miniature.attributes import ATTRIBUTES
from pipeline.miniature.language import MAX_WORDS, STYLES, clean
from pipeline.miniature.scenes import has_distractor, silhouettes

_spec = importlib.util.spec_from_file_location("meaning", Path(__file__).with_name("meaning.py"))
assert _spec and _spec.loader
meaning = importlib.util.module_from_spec(_spec)
sys.modules["meaning"] = meaning  # dataclasses look their module up
_spec.loader.exec_module(meaning)


def _world(example: Example) -> object:
    things = example.scene.objects
    return meaning.world(
        tuple({a: t.value(a) for a in ATTRIBUTES} for t in things),
        [t.radius for t in things],
        example.visible,
        silhouettes(example.scene),
    )


@pytest.fixture(scope="module")
def worlds(examples: list[Example]) -> list[object]:
    return [_world(example) for example in examples]


def test_every_sentence_means_its_referent_alone(
    examples: list[Example], worlds: list[object]
) -> None:
    wrong = [
        (example.index, sentence.sent, sorted(understood), referent.index)
        for example, world in zip(examples, worlds, strict=True)
        for referent in example.referents
        for sentence in referent.sentences
        if (understood := meaning.meant(sentence.sent, world)) != {referent.index}
    ]
    assert not wrong, f"{len(wrong)} wrong, such as {wrong[:5]}"


@pytest.mark.parametrize(
    ("one", "other"),
    [("left", "right"), ("above", "below"), ("top", "bottom"), ("big", "small"),
     ("behind", "in front of"), ("striped", "dotted"), ("second", "third")],
)  # fmt: skip
def test_the_reader_notices_swapped_words(
    examples: list[Example], worlds: list[object], one: str, other: str
) -> None:
    swap = {one: other, other: one}
    pattern = re.compile(rf"\b({one}|{other})\b")
    tried = noticed = 0
    for example, world in zip(examples, worlds, strict=True):
        for referent in example.referents:
            for sentence in referent.sentences:
                swapped = pattern.sub(lambda m: swap[m.group()], sentence.sent)
                if swapped == sentence.sent:
                    continue
                tried += 1
                try:
                    noticed += meaning.meant(swapped, world) != {referent.index}
                except ValueError:  # the other object of a relation is not there any more
                    noticed += 1
    assert tried >= 10
    # The middle one of three is second from either side: some swaps change nothing.
    assert noticed >= 0.8 * tried, (noticed, tried)


def test_an_unknown_word_is_an_error(worlds: list[object]) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        meaning.meant("the mauve circle", worlds[0])


def test_styles_counts_and_lengths(examples: list[Example]) -> None:
    said = [r.sentences for e in examples for r in e.referents]
    styles = Counter(s.style for sentences in said for s in sentences)
    total = styles.total()
    assert set(styles) == set(STYLES)
    assert all(0.25 <= n / total <= 0.42 for n in styles.values()), styles
    assert all(2 <= len(sentences) <= 4 for sentences in said)
    assert 2.7 <= total / len(said) <= 3.1
    assert all(len({s.sent for s in sentences}) == len(sentences) for sentences in said)
    assert max(len(s.sent.split()) for sentences in said for s in sentences) <= MAX_WORDS


def test_raw_is_what_people_type_and_sent_its_cleaned_form(examples: list[Example]) -> None:
    sentences = [s for e in examples for r in e.referents for s in r.sentences]
    assert all(clean(s.raw) == s.sent == clean(s.sent) for s in sentences)
    assert 0.3 <= sum(s.raw != s.sent for s in sentences) / len(sentences) <= 0.8
    assert len({s.sent for s in sentences}) >= 0.8 * len(sentences)


def test_the_vocabulary_is_closed_and_used(examples: list[Example]) -> None:
    used = {w for e in examples for r in e.referents for s in r.sentences for w in s.sent.split()}
    assert used <= set(WORDS)
    # The rest is rare, or said in captions alone.
    assert len(used) >= 0.9 * len(WORDS), set(WORDS) - used


def test_most_referents_have_a_distractor(examples: list[Example]) -> None:
    found = [has_distractor(e.scene, r.index) for e in examples for r in e.referents]
    assert sum(found) / len(found) >= 0.5
