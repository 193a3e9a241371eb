"""``ris download``: bring what the configuration needs, or the sources that are named.

The dataset's folder holds links into the download folder, so that the workflow may delete and make
it again without fetching anything twice; so do the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.config import Config
from pipeline.datasets.download import (
    DownloadFolder,
    Places,
    check_licences,
    licence_lines,
    opened,
    show,
    show_folder,
)
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps.asked_for import (
    dataset_of,
    manners_of,
    places_of,
    sources_of_dataset,
    weights_of,
    whole_sources,
)
from pipeline.steps.reading import read_dataset


def run(config: Config, *, sources: Sequence[str], listed: bool, dataset_only: bool) -> None:
    """Fetch ``sources``, or without any what the configuration needs; ``listed`` only lists.

    dataset_only: leave out the weights of the configured encoders.
    """
    section = config.download
    places = places_of(section)
    catalogue = places.catalogue
    if listed:
        print("\n".join(licence_lines(catalogue, catalogue.sources)))
        return
    named = catalogue.checked(sources, key="ris download")
    dataset = None if named else dataset_of(config, catalogue)
    if not named and not dataset_only:
        named = weights_of(config, catalogue)
    if not named and dataset is None:
        raise InputError(
            "dataset.source: is no download, and no encoder's pretrained is a file of weights to "
            "fetch; name what you want (`ris download --list` shows what there is)"
        )
    parts = sources_of_dataset(config, catalogue) if dataset else []
    whole = whole_sources(config, catalogue) if dataset else []
    wanted = list(dict.fromkeys([*named, *parts]))
    check_licences(catalogue, wanted, accepted=section.accept)
    print("\n".join(licence_lines(catalogue, wanted)), flush=True)
    with opened(
        places,
        connections=section.connections,
        connect_timeout_s=section.connect_timeout_s,
        manners=manners_of(section),
    ) as folder:
        folder.bring(list(dict.fromkeys([*named, *whole])))
        if dataset is not None:
            _show_dataset(config, places, folder, dataset)
    layout = Layout.of(config)
    weights = catalogue.weights()
    for name in named:
        for item in places.wanted(name) if name in weights else []:
            show(layout.weights(item.resource.name), item.path)


def _show_dataset(config: Config, places: Places, folder: DownloadFolder, name: str) -> None:
    """The pictures that the chosen splits need, then the dataset's folder of links."""
    annotations = places.annotations(name)
    images = places.catalogue.dataset(name).images
    if config.download.images == "needed" and places.catalogue.sources[images].pictures:
        dataset = config.dataset
        there = dataset.model_copy(update={"folder": str(annotations)})
        folder.bring_pictures(images, read_dataset(there).images)
    files = {path.name: path for path in sorted(annotations.iterdir()) if _is_data(path)}
    show_folder(Path(config.dataset.folder), {**files, "images": places.pictures(images)})


def _is_data(path: Path) -> bool:
    return path.is_file() and path.suffix in (".p", ".pickle", ".json")
