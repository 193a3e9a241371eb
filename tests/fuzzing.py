"""How many cases each reader of strangers' files is tried with: some here, 2,000 and more in CI.

``RIS_FUZZ_CASES`` is the number for a reader; where several tests try one, they share it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

CASES = int(os.environ.get("RIS_FUZZ_CASES", "200"))
CHECKS = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


def fuzz(*, tests: int = 1) -> settings:
    """For one of so many ``tests`` of the same reader."""
    return settings(
        max_examples=-(-CASES // tests), deadline=None, suppress_health_check=list(CHECKS)
    )


def spoiled(data: bytes, changes: list[tuple[float, int]], cut: float) -> bytes:
    """``data`` with other bytes at some places, each a share of its length, and cut off."""
    found = bytearray(data)
    for place, value in changes:
        found[int(place * (len(found) - 1))] = value
    return bytes(found[: int(cut * len(found))])
