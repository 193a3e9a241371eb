"""Expressions cut without a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cues.rules import decompose


@pytest.mark.parametrize(
    ("expression", "phrases"),
    [
        ("man", ["man"]),
        ("left", ["left"]),
        ("second from left", ["second from left"]),
        ("top left corner of picture", ["top left corner of picture"]),
        ("the guy", ["guy"]),
        ("man in blue shirt", ["man", "man in blue shirt"]),
        ("guy far left", ["guy", "guy far left"]),
        ("bottom right banana", ["banana", "bottom right banana"]),
        (
            "the tall man in a blue shirt holding a bat on the left",
            ["man", "tall man", "man in a blue shirt", "man holding a bat", "man on the left"],
        ),
        (
            "woman sitting on the couch next to a dog",
            ["woman", "woman sitting on the couch", "woman next to a dog"],
        ),
        ("2nd guy from the left", ["guy", "2nd guy from the left"]),
        ("slice of pizza on a plate", ["slice of pizza", "slice of pizza on a plate"]),
        ("on the left the red circle", ["circle", "red circle", "circle on the left"]),
        ("left of the star, the tiny one", ["one", "tiny one", "one left of the star"]),
        (
            "peeking out from behind the moon the red star",
            ["star", "red star", "star peeking out from behind the moon"],
        ),
        (
            "the boy that is wearing a red hat and holding a cup",
            ["boy", "boy wearing a red hat", "boy holding a cup"],
        ),
        ("smiling man with beard", ["man", "smiling man", "man with beard"]),
        ("person closest to camera", ["person", "person closest to camera"]),
        ("the closest cup", ["cup", "closest cup"]),
        ("big plain blue moon", ["moon", "blue moon", "big plain blue moon"]),
        (
            "the elephant in front of the others",
            ["elephant", "elephant in front of the others"],
        ),
        ("man to the left of the woman", ["man", "man to the left of the woman"]),
        ("woman in red flowered dress", ["woman", "woman in red flowered dress"]),
    ],
)
def test_what_it_is_then_how_it_looks_then_where(expression: str, phrases: list[str]) -> None:
    assert decompose(expression) == phrases


@given(st.text(min_size=1, max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_phrases_of_its_own_words(expression: str) -> None:
    found = decompose(expression)
    assert found and len(set(found)) == len(found)
    assert all(token in expression for phrase in found for token in phrase.split())
