"""Sentences of mirrored pictures."""

from __future__ import annotations

import pytest

from pipeline.training.flips import mirrored


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the man on the left", "the man on the right"),
        ("Right guy, not left", "Left guy, not right"),
        ("leftmost RIGHT-hand cup", "rightmost LEFT-hand cup"),
        ("far l, next to rt bowl", "far r, next to lft bowl"),
        ("second from left", "second from right"),
        ("left of the one to the right", "right of the one to the left"),
        ("bright upright copyright", "bright upright copyright"),
        ("blue cup above the bowl", "blue cup above the bowl"),
        ("second row on the left", "second row on the right"),
        ("in the upper right corner", "in the upper left corner"),
    ],
)
def test_words_of_direction_change_places(text: str, expected: str) -> None:
    assert mirrored(text) == expected
    assert mirrored(expected) == text


@pytest.mark.parametrize(
    "text",
    [
        "the dog right behind the cat",
        "right in front of the tv",
        "leftover pizza",
        "the only slice that is left",
        "the second horse",
        "player number 7",
        "cup at 3 o'clock",
        "the sign that says stop",
        "l shaped couch",
    ],
)
def test_what_a_mirror_does_not_turn_is_not_mirrored(text: str) -> None:
    assert mirrored(text) is None
