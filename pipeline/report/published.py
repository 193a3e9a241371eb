"""What publications report, to stand beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A published table about one split and rung; ``figures``: variant -> metric -> percent."""

    table: str
    split: str
    rung: str
    figures: Mapping[str, Mapping[str, float]]

    def figure(self, variant: str, metric: str) -> float | None:
        """What it says of a variant; None where it says nothing."""
        return self.figures.get(variant, {}).get(metric)
