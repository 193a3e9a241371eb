"""Words that carry content, and forms of one word."""

from __future__ import annotations

import pytest

from pipeline.cues.words import content_words, same_word, words_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stripes", "striped"),
        ("stripy", "striped"),
        ("wearing", "wears"),
        ("wore", "wear"),
        ("sitting", "sits"),
        ("holding", "held"),
        ("men", "man"),
        ("children", "child"),
        ("knives", "knife"),
        ("berries", "berry"),
        ("boxes", "box"),
        ("glasses", "glass"),
        ("man's", "man"),
        ("grey", "gray"),
        ("leftmost", "left"),
        ("2nd", "second"),
        ("biggest", "big"),
        ("nearest", "near"),
        ("closest", "close"),
        ("smiling", "smiles"),
        ("covered", "covering"),
        ("hidden", "hide"),
    ],
)
def test_forms_of_one_word(one: str, other: str) -> None:
    assert same_word(one, other) and same_word(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("red", "read"),
        ("ring", "r"),
        ("king", "ring"),
        ("bus", "bush"),
        ("glass", "gloss"),
        ("moon", "moor"),
        ("left", "right"),
        ("bear", "beard"),
        ("men", "women"),
        ("bed", "b"),
        ("dress", "dry"),
    ],
)
def test_words_apart(one: str, other: str) -> None:
    assert not same_word(one, other) and not same_word(other, one)


def test_content_is_what_tells_things_apart() -> None:
    assert content_words("The man who is in a T-shirt, on the left") == [
        "man",
        "t",
        "shirt",
        "left",
    ]
    assert content_words("not the one over there") == ["over"]
    assert words_of("\uff2d\uff41\uff4e\u2019s “hat”") == ["man's", "hat"]
