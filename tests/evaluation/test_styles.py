"""The style rule on sentences of many kinds, and against the miniature's own account."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipeline.evaluation import STYLES, style_of
from pipeline.miniature.language import STYLES as MINIATURE_STYLES
from pipeline.miniature.language import Sentence, referents
from pipeline.miniature.scenes import SceneSettings, sample_scene, silhouettes, visible_parts

SENTENCES: dict[str, tuple[str, ...]] = {
    "appearance": (
        "red shirt",
        "woman holding a phone",
        "the guy facing left",
        "man in a blue shirt",
        "lady in white",
        "her left hand",
        "girl with umbrella",
        "a woman in a red top",
        "man with his back to us",
        "the middle aged man",
        "kid looking at the camera",
        "man in black shorts looking at ball",
        "person with hat on",
        "the only zebra",
        "cat with its left paw raised",
        "almost empty glass",
        "tallest giraffe",
    ),
    "position": (
        "left man",
        "Man on the RIGHT.",
        "second from left",
        "third person from the right",
        "bottom left",
        "sheep in the middle",
        "the woman in front",
        "closest to us",
        "nearest elephant",
        "the bed nearest the camera",
        "back row third guy",
        "leftmost giraffe",
        "right most one",
        "center-left zebra",
        "the one in the background",
        "right side of the picture",
        "man on left in blue",
        "the man on the left wearing a hat",
        "cup in the upper left-hand corner",
        "bowl at 3 o'clock",
        "white car in the distance",
        "on the left the tall man",
        "man behind",
        "couch to our left",
    ),
    "relation": (
        "man next to the woman",
        "cup on the table",
        "dog left of the man",
        "bike in front of the car",
        "a car to the right of the bus",
        "child between two adults",
        "the boat closest to the dock",
        "nearest the window",
        "bird on top of the elephant",
        "cat on the left couch",
        "kid in the car",
        "the bowl above the red one",
        "guy in white shirt behind the counter",
        "person across from the man in white",
        "suitcase next to the wall on the left",
        "left of the dog, the man",
        "zebra behind other zebra",
        "the lamp higher than the picture frame on the shelf",
    ),
}


@pytest.mark.parametrize(
    ("style", "text"), [(style, text) for style, texts in SENTENCES.items() for text in texts]
)
def test_style_of_a_sentence(style: str, text: str) -> None:
    assert style_of(text) == style


@pytest.mark.parametrize("text", ["", "   ", "?!", "éé", "of of to the", "next to", "left of"])
def test_any_text_has_a_style(text: str) -> None:
    assert style_of(text) in STYLES


def miniature_sentences(scenes: int) -> list[Sentence]:
    settings = SceneSettings(
        canvas=128,
        min_objects=3,
        max_objects=5,
        distractor_share=0.6,
        overlap_share=0.4,
        min_visible=0.45,
        clutter=0,
        noise=0.0,
    )
    found: list[Sentence] = []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        scene = sample_scene(rng, settings)
        for referent in referents(scene, visible_parts(silhouettes(scene)), rng):
            found.extend(referent.sentences)
    return found


def test_agrees_with_the_miniature() -> None:
    sentences = miniature_sentences(100)
    assert set(MINIATURE_STYLES) == set(STYLES)
    assert min(Counter(sentence.style for sentence in sentences).values()) > 100
    for field in ("raw", "sent"):
        right = [style_of(getattr(sentence, field)) == sentence.style for sentence in sentences]
        assert np.mean(right) >= 0.99, field
