"""One miniature for all tests of this folder, its scenes made once."""

from __future__ import annotations

import pytest

from pipeline.miniature import Example, MiniatureSettings, SceneSettings, SplitSizes, example_of

SETTINGS = MiniatureSettings(
    seed=7,
    splits=SplitSizes(train=260, val=20, testA=20, testB=40),
    scene=SceneSettings(
        canvas=128,
        min_objects=2,
        max_objects=5,
        distractor_share=0.65,
        overlap_share=0.5,
        min_visible=0.4,
        clutter=10,
        noise=0.05,
    ),
)


@pytest.fixture(scope="session")
def settings() -> MiniatureSettings:
    return SETTINGS


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """All 340 examples of the tiny dataset."""
    return [example_of(SETTINGS, index) for index in range(SETTINGS.splits.total())]
