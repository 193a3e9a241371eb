"""What the configuration asks to be fetched: which sources, to where, with how much patience."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config, Download, run_config
from pipeline.datasets.download import Catalogue, Manners, Places, places_at
from pipeline.layout import Layout
from pipeline.runs import has_cues


def places_of(section: Download) -> Places:
    return places_at(section.folder, section.table)


def manners_of(section: Download) -> Manners:
    return Manners(
        attempts=section.attempts,
        backoff_s=section.backoff_s,
        backoff_limit_s=section.backoff_limit_s,
        read_timeout_s=section.read_timeout_s,
        slowest_kb_s=section.slowest_kb_s,
        keep_free=int(section.keep_free_gb * 1e9),
    )


def dataset_of(config: Config, catalogue: Catalogue) -> str | None:
    """The published dataset that the configuration asks for; None if its data are not fetched."""
    name = config.download.dataset
    if config.dataset.source != "download" or name is None:
        return None
    catalogue.dataset(name)
    return name


def sources_of_dataset(config: Config, catalogue: Catalogue) -> list[str]:
    """The sources of the configured dataset: annotations, then images."""
    name = dataset_of(config, catalogue)
    if name is None:
        return []
    published = catalogue.dataset(name)
    return [published.annotations, published.images]


def weights_of(config: Config, catalogue: Catalogue) -> list[str]:
    """The sources of the weights, of encoders, SAMs and the LLM, that the workflow fetches."""
    folder = Layout.of(config).weights("any").parent
    settings = [run_config(config, name) for name in config.runs]
    files = [
        Path(section.pretrained)
        for own in settings
        for section in (own.encoder, own.critic)
        if section.pretrained is not None
    ]
    files += [Path(own.sam.weights) for own in settings if own.sam.weights is not None]
    if config.cues.backend == "llm" and any(has_cues(own) for own in settings):
        files.append(Path(config.cues.llm.model))
    found = [catalogue.source_of_weights(path.name) for path in files if path.parent == folder]
    return list(dict.fromkeys(name for name in found if name is not None))


def whole_sources(config: Config, catalogue: Catalogue) -> list[str]:
    """Of the configured dataset's sources, those that are fetched whole, not one by one."""
    one_by_one = config.download.images == "needed"
    return [
        name
        for name in sources_of_dataset(config, catalogue)
        if not (one_by_one and catalogue.sources[name].pictures is not None)
    ]
