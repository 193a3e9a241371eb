"""A download folder: the sources in it, what of them is there, and bringing the rest.

``<folder>/<source>/<file>`` is a file as published, ``<folder>/<source>/unpacked`` the content of
an archive, ``<folder>/<source>/pictures`` what was fetched one by one, ``<folder>/seen.jsonl`` the
record of every content. All of it can be deleted at any time and is fetched again when needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from tqdm import tqdm

from pipeline.datasets.download.catalogue import Catalogue, Resource, read_catalogue
from pipeline.datasets.download.disk import DiskError, check_room
from pipeline.datasets.download.fetching import Fetcher, Manners
from pipeline.datasets.download.lock import only_one
from pipeline.datasets.download.network import Network
from pipeline.datasets.download.part import Part, tidy
from pipeline.datasets.download.seen import Seen
from pipeline.records import ImageRecord
from pipeline.safety import InputError, check_archive, extract_archive, inside, open_image


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of a source, and where it belongs."""

    source: str
    resource: Resource
    path: Path

    @property
    def name(self) -> str:
        return f"{self.source}/{self.resource.name}"

    @property
    def missing_bytes(self) -> int:
        """What is still to come, as far as the size is known (else 0)."""
        if self.path.exists():
            return 0
        return max((self.resource.bytes or 0) - Part(self.path).size, 0)


@dataclass(frozen=True, slots=True)
class Places:
    """Where things of a download folder lie."""

    folder: Path
    catalogue: Catalogue

    def wanted(self, source: str) -> list[Wanted]:
        """Every file of a source."""
        return [
            Wanted(source, resource, self.folder / source / resource.name)
            for resource in self.catalogue.sources[source].files
        ]

    def unpacked(self, source: str) -> Path:
        return self.folder / source / "unpacked"

    def pictures(self, source: str) -> Path:
        """The folder of a source's pictures: of its archive if that is unpacked, else the lone."""
        offer = self.catalogue.sources[source].pictures
        if offer is None:
            return self.unpacked(source)
        whole = self.unpacked(source) / offer.folder
        return whole if whole.is_dir() else self.folder / source / "pictures"

    def annotations(self, dataset: str) -> Path:
        """The folder of a dataset's annotation files."""
        found = self.catalogue.dataset(dataset)
        return self.folder / found.annotations / found.folder

    def is_there(self, source: str) -> bool:
        """Is all of a source there, unpacked if it is an archive?"""
        if self.catalogue.sources[source].unpacked is not None:
            return self.unpacked(source).is_dir()
        return all(wanted.path.is_file() for wanted in self.wanted(source))

    @property
    def record(self) -> Path:
        return self.folder / "seen.jsonl"


def places_at(folder: str, table: str | None) -> Places:
    """The places of a download folder; ``table`` is a file in place of the package's own."""
    return Places(Path(folder), read_catalogue(None if table is None else Path(table)))


class DownloadFolder:
    """A download folder that is being filled; made by :func:`opened`."""

    def __init__(self, places: Places, fetcher: Fetcher, pool: ThreadPoolExecutor) -> None:
        self.places, self._fetcher, self._pool = places, fetcher, pool

    def bring(self, sources: Sequence[str]) -> None:
        """Fetch every file of the sources and unpack the archives; what is there stays."""
        places = self.places
        for source in sources:
            tidy(places.folder / source)
        missing = [source for source in sources if not places.is_there(source)]
        wanted = [item for source in missing for item in places.wanted(source)]
        archives = [s for s in missing if places.catalogue.sources[s].unpacked is not None]
        self._check_room(wanted, archives)
        with _bytes_bar(wanted) as bar:
            self._together(
                [self._errand(item, bar.update, self._archive_of(item)) for item in wanted]
            )
        for source in archives:
            self._unpack(source)

    def bring_pictures(self, source: str, records: Collection[ImageRecord]) -> None:
        """Fetch single pictures, each looked at before it takes its name: its kind, its size."""
        offer = self.places.catalogue.sources[source].pictures
        if offer is None:
            raise InputError(
                f"download.images: the pictures of {source} come as an archive only; set it to zip"
            )
        folder = self.places.pictures(source)
        tidy(folder)
        files = {record.file: record for record in records}
        missing = [r for name, r in sorted(files.items()) if not inside(folder, name).exists()]
        check_room(folder, len(missing) * offer.mean_bytes, keep_free=self._keep_free)
        with tqdm(
            total=len(missing), desc=source, unit="image", mininterval=1, disable=not missing
        ) as bar:
            errands = []
            for record in missing:
                resource = offer.resource(record.file)
                item = Wanted(f"{source}/pictures", resource, folder / resource.name)
                errands.append(self._errand(item, _ignore, _looks(record), then=bar.update))
            self._together(errands)

    @property
    def _keep_free(self) -> int:
        return self._fetcher.manners.keep_free

    def _check_room(self, wanted: list[Wanted], archives: list[str]) -> None:
        limits = (self.places.catalogue.sources[source].unpacked for source in archives)
        unpacked = sum(limit.bytes for limit in limits if limit is not None)
        needed = sum(item.missing_bytes for item in wanted)
        # Limits of unpacking are generous: what an archive holds is asked again before unpacking.
        check_room(
            self.places.folder, needed + min(unpacked, 2 * needed), keep_free=self._keep_free
        )

    def _errand(
        self,
        item: Wanted,
        arrived: Callable[[int], object],
        inspect: Callable[[Path], None] | None = None,
        then: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        def errand() -> None:
            self._fetcher.fetch(
                item.resource, item.path, name=item.name, arrived=arrived, inspect=inspect
            )
            if then is not None:
                then()

        return errand

    def _together(self, errands: list[Callable[[], None]]) -> None:
        """Run errands side by side. One that fails does not stop the others, many do.

        InputError holds the first failure and their number.
        """
        futures = [self._pool.submit(errand) for errand in errands]
        try:
            failures = _failures(futures)
        finally:
            for future in futures:
                future.cancel()
        if failures:
            others = f" (and {len(failures) - 1} others failed)" if len(failures) > 1 else ""
            raise InputError(f"{failures[0]}{others}")

    def _archive_of(self, item: Wanted) -> Callable[[Path], None] | None:
        """Looks through an archive, so that none is taken, or recorded, that cannot be unpacked."""
        limits = self.places.catalogue.sources[item.source].unpacked
        if limits is None:
            return None
        return partial(
            check_archive,
            max_files=limits.files,
            max_bytes=limits.bytes,
            max_ratio=limits.ratio,
        )

    def _unpack(self, source: str) -> None:
        limits = self.places.catalogue.sources[source].unpacked
        (archive,) = self.places.wanted(source)
        assert limits is not None
        try:
            extract_archive(
                archive.path,
                self.places.unpacked(source),
                max_files=limits.files,
                max_bytes=limits.bytes,
                max_ratio=limits.ratio,
                keep_free=self._keep_free,
            )
        except OSError as error:
            raise DiskError(f"{archive.path}: cannot be unpacked: {error.strerror}") from None


_MANY = 20  # failed errands after which the rest is not tried: the network, not a file, is ill


def _failures(futures: Iterable[Future[None]]) -> list[InputError]:
    """The InputErrors of futures, in their order; any other error is raised at once."""
    waiting, failed = set(futures), []
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_EXCEPTION)
        for future in done:
            error = future.exception()
            if isinstance(error, InputError):
                failed.append(error)
            elif error is not None:
                raise error
        if len(failed) >= _MANY or any(isinstance(error, DiskError) for error in failed):
            break
    return sorted(failed, key=str)


def _ignore(_: int) -> None:
    return


def _looks(record: ImageRecord) -> Callable[[Path], None]:
    """Decodes a picture, which must be as high and wide as its dataset says."""

    def look(path: Path) -> None:
        size = (record.height, record.width)
        open_image(path, record.height * record.width, apply_exif=False, size=size)

    return look


@contextmanager
def _bytes_bar(wanted: list[Wanted]) -> Iterator[tqdm]:
    sizes = [item.resource.bytes for item in wanted]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    with tqdm(
        total=total,
        desc="download",
        unit="B",
        unit_scale=True,
        mininterval=1,
        disable=not wanted,
        file=sys.stderr,
    ) as bar:
        yield bar


@contextmanager
def opened(
    places: Places,
    *,
    connections: int,
    connect_timeout_s: float,
    manners: Manners,
) -> Iterator[DownloadFolder]:
    """The download folder, held against other processes, with its connections."""
    with only_one(places.folder):
        network = Network(
            connections=connections,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=manners.read_timeout_s,
        )
        pool, stop = ThreadPoolExecutor(connections), Event()
        try:
            seen = Seen(places.record)
            yield DownloadFolder(places, Fetcher(network, manners, seen, stop), pool)
        finally:
            stop.set()  # or an interrupt would wait for files of many gigabytes
            pool.shutdown(wait=True, cancel_futures=True)
            network.close()
