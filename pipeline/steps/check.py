"""``ris check``: is the configuration valid, what is there of its artifacts, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config, run_config
from pipeline.layout import Layout
from pipeline.runs import (
    asks_sam,
    has_ablation,
    has_cues,
    has_irnet,
    has_proposals,
    is_refined,
    is_segmented,
    is_supervised,
    learns_to_segment,
    owner,
)
from pipeline.safety import InputError
from pipeline.steps import downloads
from pipeline.steps.examine import examine
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
    """Print a table; a configuration that is not valid has ended before, with its mistakes.

    InputError, after the table, lists what is wrong with a dataset of your own, line by line.
    """
    dataset = config.dataset
    print(f"configuration  valid; runs: {', '.join(config.runs)}; seed {config.seed}")
    print(
        f"dataset        {dataset.name}: trains on {dataset.train}, is measured on "
        f"{', '.join(dataset.evaluate)}; headline {dataset.headline}"
    )
    for line in downloads.lines(config, human=human):
        print(line)
    mistakes: InputError | None = None
    try:
        for line in examine(config):
            print(line)
    except InputError as error:
        mistakes = error
        print("own data       has mistakes, see below")
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
    if mistakes is not None:
        raise mistakes


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
    sams = [settings.sam for settings in runs.values() if asks_sam(settings)]
    if any(Path(section.model) == layout.small_sam for section in sams):
        yield Artifact(layout.mask_scenes, "scenes with masks for the small SAM", "mask_scenes")
        for name, path in layout.small_sam_files.items():
            yield Artifact(path, f"the small SAM: {name}")
    yield Artifact(layout.table("expressions"), "what methods read", "expressions")
    yield Artifact(layout.table("images"), "what methods look at", "images")
    yield Artifact(layout.table("truth"), "masks, for evaluation and the reference", "truth")
    yield Artifact(layout.table("objects"), "all annotated objects, for evaluation", "objects")
    weak = [name for name, settings in runs.items() if not is_supervised(settings)]
    refined = [name for name, settings in runs.items() if is_refined(settings)]
    if any(has_proposals(settings) for settings in runs.values()):
        for path in layout.all_proposals:
            yield Artifact(path, "mask proposals", "proposals")
    if any(has_cues(settings) for settings in runs.values()):
        yield from _cues(config, layout)
    yield from _localizers(config, layout, weak, refined)
    segmented = [name for name, settings in runs.items() if is_segmented(settings)]
    yield from _segmentors(config, layout, segmented)
    for name in runs:
        yield Artifact(layout.run_metrics(name), f"figures of {name}")
        yield Artifact(layout.run_expressions(name), f"every expression of {name}", "evaluated")
    yield Artifact(layout.metrics, "for `dvc metrics show`")
    if has_ablation(config):
        yield Artifact(layout.ablation, "variants over their seeds")
    yield Artifact(layout.report, "the page to read")
    yield Artifact(layout.figures, "its figures")


def _cues(config: Config, layout: Layout) -> Iterator[Artifact]:
    """The model that is asked, if one is, and the cues of every expression."""
    section = config.cues
    if section.backend == "llm" and Path(section.llm.model) == layout.small_llm:
        for name, path in layout.small_llm_files.items():
            yield Artifact(path, f"the small LLM: {name}")
    elif section.backend == "llm":
        yield Artifact(Path(section.llm.model), "the LLM that decomposes expressions")
    for path in layout.all_cues:
        yield Artifact(path, "cues of expressions", "cues")


def _localizers(
    config: Config, layout: Layout, names: list[str], refined: list[str]
) -> Iterator[Artifact]:
    """What Stage-1 makes, and the pseudo-labels of it; shared artifacts come once."""
    for first, users in _owners(config, names, "train_localizer"):
        yield Artifact(layout.localizer(first), f"localizer of {users}")
        yield Artifact(layout.curves(first, "localizer"), f"its training curves ({users})")
    for first, users in _owners(config, names, "respond"):
        yield Artifact(layout.responses(first), f"response maps of {users}", "responses")
    yield from _irnets(config, layout, [n for n in refined if has_irnet(run_config(config, n))])
    for first, users in _owners(config, refined, "refine"):
        for path in layout.all_pseudo_labels(first):
            yield Artifact(path, f"pseudo-labels of {users}", "pseudo_labels")


def _irnets(config: Config, layout: Layout, names: list[str]) -> Iterator[Artifact]:
    for first, users in _owners(config, names, "label_irnet"):
        for path in layout.all_irnet_labels(first):
            yield Artifact(path, f"what IRNet learns from ({users})", "irnet_labels")
    for first, users in _owners(config, names, "train_irnet"):
        yield Artifact(layout.irnet(first), f"IRNet's edges and displacements of {users}")
        yield Artifact(layout.curves(first, "irnet"), f"its training curves ({users})")


def _segmentors(config: Config, layout: Layout, names: list[str]) -> Iterator[Artifact]:
    trained = [name for name in names if learns_to_segment(run_config(config, name))]
    for first, users in _owners(config, trained, "train_segmentor"):
        yield Artifact(layout.segmentor(first), f"segmentor of {users}")
        yield Artifact(layout.curves(first, "segmentor"), f"its training curves ({users})")
    for first, users in _owners(config, names, "segment"):
        yield Artifact(layout.predictions(first), f"masks of {users}", "predictions")


def _owners(config: Config, names: list[str], step: str) -> list[tuple[str, str]]:
    """Each run that makes the artifact of a step, and the names of all that use it."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(owner(config, name, step), []).append(name)
    return [(first, ", ".join(users)) for first, users in found.items()]


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
