"""The overlays of ``experiments/``, merged as the commands in their headers say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.config import Config, load, run_config
from pipeline.runs import variants
from tests.repository import ROOT

OVERLAYS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("experiments/**/*.yaml"))

# Overlay -> the keys that its variants set, and their values by variant.
Ablations = dict[str, tuple[list[str], dict[str, tuple[Any, ...]]]]


def header(overlay: str) -> str:
    """The comment that an overlay begins with."""
    return (ROOT / overlay).read_text().split("\n\n")[0]


def stack(overlay: str) -> list[str]:
    """The files that the command in the overlay's header puts over config.yaml, in order."""
    command = "#   snakemake --cores all --configfile "
    lines = header(overlay).splitlines()
    found = [line.removeprefix(command).split() for line in lines if line.startswith(command)]
    assert found, f"{overlay}: its header names no command"
    return [name for name in found[0] if name.endswith(".yaml")]


def merged(overlay: str) -> Config:
    return load([ROOT / "config.yaml", *(ROOT / name for name in stack(overlay))])


def leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; lists are values."""
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def check_ablation(
    config: Config, keys: Sequence[str], expected: dict[str, tuple[Any, ...]], *, paper: str
) -> None:
    """Its variants differ in ``keys`` alone, as expected, each over three seeds of its name.

    They stop at the response, and what stands beside them is of tables of the ``paper``.
    """
    shown: dict[str, tuple[Any, ...]] = {}
    rest = set()
    for variant, runs in variants(config).items():
        settings = [run_config(config, run) for run in runs]
        assert [one.seed for one in settings] == [0, 1, 2]
        assert runs == [f"{variant}-{seed}" for seed in range(3)]
        values = dict(leaves(settings[0].model_dump(exclude={"seed", "runs"})))
        shown[variant] = tuple(values.pop(key) for key in keys)
        rest.add(repr(values))
    assert shown == expected
    assert len(rest) == 1, "something else varies as well"
    assert config.evaluation.rungs == ["response"]
    for published in config.report.published:
        assert published.table.startswith(f"{paper} ") and published.rung == "response"
