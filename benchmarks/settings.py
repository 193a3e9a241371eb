"""What all benchmarks have in common, without any heavy import."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config, check, read_yaml

ROOT = Path(__file__).parents[1]
THREADS = 1  # of every network: processor time then is what an idle core would need


def shipped() -> Config:
    """The project's own config.yaml."""
    return check(read_yaml(ROOT / "config.yaml"))
