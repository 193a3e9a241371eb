"""What ``ris check`` says of a download folder: what is there, how large it is, and from where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.datasets.download import Places, Seen, Wanted, part_size, shown
from pipeline.steps.asked_for import places_of, sources_of_dataset, weights_of, whole_sources


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file or a folder of pictures. ``word``: there, part, missing or damaged; sizes in bytes.

    at_most: what is read of a file whose size nobody has published.
    """

    word: str
    size: int
    expected: int | None
    at_most: int | None
    path: Path
    detail: str


def downloads(config: Config) -> list[Fetched]:
    """Everything that the configuration fetches, in order."""
    places = places_of(config.download)
    catalogue = places.catalogue
    seen = Seen(places.record)
    whole = whole_sources(config, catalogue)
    found: list[Fetched] = []
    for source in [*sources_of_dataset(config, catalogue), *weights_of(config, catalogue)]:
        licence = catalogue.sources[source].licence
        if source in whole or source not in sources_of_dataset(config, catalogue):
            found += [_file(places, seen, item, licence) for item in places.wanted(source)]
        else:
            found.append(_pictures(places, source, licence))
    return found


def _file(places: Places, seen: Seen, item: Wanted, licence: str) -> Fetched:
    earlier = seen.get(item.name)
    expected = item.resource.bytes or (earlier.bytes if earlier else None)
    address = earlier.address if earlier else shown(item.resource.addresses[0])
    sizes = expected, item.resource.at_most
    detail = f"{address}; {licence}"
    if item.path.is_file():
        size = item.path.stat().st_size
        word = "there" if expected in (None, size) else "damaged"
        return Fetched(word, size, *sizes, item.path, detail)
    if places.is_there(item.source):
        return Fetched("there", 0, *sizes, places.unpacked(item.source), f"unpacked; {detail}")
    size = part_size(item.path)
    return Fetched("part" if size else "missing", size, *sizes, item.path, detail)


def _pictures(places: Places, source: str, licence: str) -> Fetched:
    folder = places.pictures(source)
    offer = places.catalogue.sources[source].pictures
    assert offer is not None  # or the source would be fetched whole
    sizes = [path.stat().st_size for path in folder.glob("*.jpg")] if folder.is_dir() else []
    detail = (
        f"{len(sizes):,} of {offer.count:,} pictures of some {offer.mean_bytes / 1000:.0f} kB, "
        "fetched as they are needed; "
        f"{shown(offer.addresses[0])}; {licence}"
    )
    return Fetched("there" if sizes else "missing", sum(sizes), None, None, folder, detail)


def lines(config: Config, *, human: Callable[[int], str]) -> Iterator[str]:
    """A table of the downloads; nothing where nothing is to be fetched."""
    found = downloads(config)
    if not found:
        return
    width = max(len(str(item.path)) for item in found)
    yield f"\n{'state':7}  {'size':>8}  {'of':>10}  {'download':{width}}  from; licence"
    for item in found:
        size = human(item.size) if item.size else "-"
        bound = "?" if item.at_most is None else f"< {human(item.at_most)}"
        expected = bound if item.expected is None else human(item.expected)
        yield f"{item.word:7}  {size:>8}  {expected:>10}  {item.path!s:{width}}  {item.detail}"
    if any(item.word == "damaged" for item in found):
        yield "a damaged file has another size than when it was checked: remove it, it comes again"
