"""When the tests of this folder run, and what they change in the profile of a clone."""

from __future__ import annotations

import os

import pytest

from tests.cluster.slurm import lacking
from tests.repository import Copy

REQUIRED = "RIS_SLURM"  # set to "required" where a Slurm that cannot be started is a failure


def skip_unless(*, accounting: bool) -> None:
    if reason := lacking(accounting=accounting):
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(reason)
        pytest.skip(reason)


def edit_profile(clone: Copy, *changes: tuple[str, str]) -> None:
    """Lines of slurm/config.yaml replaced, as one who brings it to a cluster does."""
    profile = clone.root / "slurm" / "config.yaml"
    text = profile.read_text()
    # these jobs take seconds
    often = ("status-checks: 10", "status-checks: 8")
    for before, after in (often, *changes):
        assert before in text, before
        text = text.replace(before, after)
    profile.write_text(text)
