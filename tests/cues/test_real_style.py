"""The rules on expressions in the manner of the published data sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cues import settled
from pipeline.cues.agreement import said_share
from pipeline.cues.rules import decompose

FILE = Path(__file__).parents[2] / "benchmarks" / "real_style.yaml"
ITEMS = [
    (str(expression), noun)
    for name, items in yaml.safe_load(FILE.read_text(encoding="utf-8")).items()
    for expression, noun in items
    if name != "held_out"  # measured, not tuned for
]


@pytest.mark.parametrize(("expression", "noun"), ITEMS)
def test_the_first_cue_names_the_target_and_nothing_is_lost(expression: str, noun: str) -> None:
    found = settled(
        decompose(expression), expression, source="rules", count=8, max_length=80, fill="last"
    )
    assert (found.source, found.dropped) == ("rules", 0)
    assert noun in found.cues[0].split()
    assert said_share(found.cues, expression) == 1


def test_there_are_many_and_no_two_alike() -> None:
    assert len({expression for expression, _ in ITEMS}) == len(ITEMS) >= 60
