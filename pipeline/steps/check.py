"""``ris check``: is the configuration valid, what is there of its artifacts, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.runs import is_supervised, owner
from pipeline.safety import InputError
from pipeline.store import read_manifest


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder that the flow makes; ``kind`` is that of a table, "" for anything else."""

    path: Path
    purpose: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """``word`` is there, missing or damaged; ``size`` in bytes; ``detail`` in words."""

    word: str
    size: int
    detail: str


def run(config: Config) -> None:
    """Print a table; a configuration that is not valid has ended before, with its mistakes."""
    dataset = config.dataset
    print(f"configuration  valid; runs: {', '.join(config.runs)}; seed {config.seed}")
    print(
        f"dataset        {dataset.name}: trains on {dataset.train}, is measured on "
        f"{', '.join(dataset.evaluate)}; headline {dataset.headline}"
    )
    states = [(artifact, look(artifact)) for artifact in artifacts(config)]
    width = max(len(str(artifact.path)) for artifact, _ in states)
    print(f"\n{'state':7}  {'size':>8}  {'file':{width}}  what it is")
    for artifact, state in states:
        size = human(state.size) if state.word != "missing" else "-"
        words = f"{artifact.purpose}; {state.detail}" if state.detail else artifact.purpose
        print(f"{state.word:7}  {size:>8}  {artifact.path!s:{width}}  {words}")
    there = sum(state.word == "there" for _, state in states)
    total = human(sum(state.size for _, state in states))
    print(
        f"\n{there} of {len(states)} there, {total} in all; `make run` makes the rest"
        if there < len(states)
        else f"\nall {there} there, {total} in all"
    )


def artifacts(config: Config) -> Iterator[Artifact]:
    """Everything that the configured runs need or make, in the order of the flow, each once."""
    layout = Layout.of(config)
    yield Artifact(Path(config.dataset.folder), "the dataset as published")
    runs = {name: run_config(config, name) for name in config.runs}
    encoders = [
        section for settings in runs.values() for section in (settings.encoder, settings.critic)
    ]
    if any(Path(section.model) == layout.small_clip for section in encoders):
        yield Artifact(layout.captions, "captioned pictures for the small CLIP")
        for name, path in layout.small_clip_files.items():
            yield Artifact(path, f"the small CLIP: {name}")
    yield Artifact(layout.table("expressions"), "what methods read", "expressions")
    yield Artifact(layout.table("images"), "what methods look at", "images")
    yield Artifact(layout.table("truth"), "masks, for evaluation and the reference", "truth")
    yield Artifact(layout.table("objects"), "all annotated objects, for evaluation", "objects")
    weak = [name for name, settings in runs.items() if not is_supervised(settings)]
    if any("proposal_snap" in runs[name].pseudo_labels.refine for name in weak):
        for path in layout.all_proposals:
            yield Artifact(path, "mask proposals for refinement", "proposals")
    for stage in ("localizer", "segmentor"):
        yield from _networks(config, layout, stage, weak if stage == "localizer" else list(runs))
    for name in runs:
        yield Artifact(layout.run_metrics(name), f"figures of {name}")
        yield Artifact(layout.run_expressions(name), f"every expression of {name}", "evaluated")
    yield Artifact(layout.metrics, "for `dvc metrics show`")
    yield Artifact(layout.report, "the page to read")
    yield Artifact(layout.figures, "its figures")


def _networks(config: Config, layout: Layout, stage: str, names: list[str]) -> Iterator[Artifact]:
    """What a stage trains and what its network then writes; shared artifacts come once."""

    def owners(step: str) -> dict[str, str]:
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(owner(config, name, step), []).append(name)
        return {first: ", ".join(users) for first, users in found.items()}

    for first, users in owners(f"train_{stage}").items():
        weights = layout.localizer(first) if stage == "localizer" else layout.segmentor(first)
        yield Artifact(weights, f"{stage} of {users}")
        yield Artifact(layout.curves(first, stage), f"its training curves ({users})")
    if stage == "segmentor":
        for first, users in owners("segment").items():
            yield Artifact(layout.predictions(first), f"masks of {users}", "predictions")
        return
    for first, users in owners("respond").items():
        yield Artifact(layout.responses(first), f"response maps of {users}", "responses")
    for first, users in owners("refine").items():
        for path in layout.all_pseudo_labels(first):
            yield Artifact(path, f"pseudo-labels of {users}", "pseudo_labels")


def look(artifact: Artifact) -> State:
    """Whether it is there; a table is read once to see whether it is whole."""
    path = artifact.path
    if path.is_dir():
        files = [file for file in path.rglob("*") if file.is_file()]
        return State("there", sum(file.stat().st_size for file in files), f"{len(files):,} files")
    if not path.is_file():
        return State("missing", 0, "")
    size = path.stat().st_size
    if not artifact.kind:
        return State("there", size, "")
    try:
        rows = read_manifest(path, kind=artifact.kind).rows
    except InputError as error:
        return State("damaged", size, str(error).removeprefix(f"{path}: "))
    return State("there", size, f"{rows:,} rows")


def human(size: int) -> str:
    """Bytes as 512 B, 1.5 kB, 2.0 MB or 3.1 GB."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
