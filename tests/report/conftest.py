"""One finished workflow for all tests of the report."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.steps import report
from tests.report.fabricated import fabricate


@dataclass(frozen=True)
class Finished:
    """A configuration whose runs were measured and reported."""

    config: Config
    layout: Layout
    page: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nothing here outlives the test
        config = fabricate(tmp_path_factory.mktemp("workflow"))
        report.run(config)
    layout = Layout.of(config)
    return Finished(config, layout, layout.report.read_text(encoding="utf-8"))
