"""Under which terms a source comes, shown before it is fetched."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pipeline.datasets.download.catalogue import Catalogue
from pipeline.safety import InputError


def licence_lines(catalogue: Catalogue, sources: Iterable[str]) -> list[str]:
    """A line a source: its name, title, licence and where that is written."""
    lines = []
    for name in sources:
        source = catalogue.sources[name]
        lines.append(f"{name}: {source.title}. Licence: {source.licence} ({source.licence_page})")
    return lines


def check_licences(
    catalogue: Catalogue, sources: Iterable[str], *, accepted: Collection[str]
) -> None:
    """InputError for a source whose licence forbids commercial use and that nobody said yes to."""
    catalogue.checked(accepted, key="download.accept")
    refused = [
        name for name in sources if catalogue.sources[name].non_commercial and name not in accepted
    ]
    if refused:
        terms = "\n".join(licence_lines(catalogue, refused))
        raise InputError(
            f"download.accept: {', '.join(refused)} may not be used commercially:\n{terms}\n"
            f"if that suits your work, set download.accept: [{', '.join([*accepted, *refused])}]"
        )
