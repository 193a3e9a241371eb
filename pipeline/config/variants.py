"""Runs that differ by their seed alone are one variant."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.config.schema import Config


def variants_of(runs: Mapping[str, Config]) -> dict[str, list[str]]:
    """Variant -> its runs, in order, of runs with their settings (``run_config``).

    What counts is the settings without the seed. Of runs that agree in the seed too, the first
    counts. A variant is called as its runs are without their last number (``late`` of ``late-0``,
    ``late-1``) where that tells it from the others, else as its first run is.
    """
    found: list[tuple[Config, dict[int, str]]] = []
    for name, settings in runs.items():
        bare = settings.model_copy(update={"seed": 0, "runs": {}})
        by_seed = next((by_seed for other, by_seed in found if other == bare), None)
        if by_seed is None:
            by_seed = {}
            found.append((bare, by_seed))
        by_seed.setdefault(settings.seed, name)
    members = [list(by_seed.values()) for _, by_seed in found]
    stems = [{_stem(name) for name in group} for group in members]
    names = {}
    for group, own in zip(members, stems, strict=True):
        is_known = sum(bool(own & other) for other in stems) > 1 or len(own) > 1
        names[group[0] if is_known else own.pop()] = group
    return names


def _stem(name: str) -> str:
    return re.sub(r"-[0-9]+$", "", name)
