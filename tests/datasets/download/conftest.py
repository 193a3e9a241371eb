"""A misbehaving server and a fetcher with little patience."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from pipeline.datasets.download.catalogue import Resource
from pipeline.datasets.download.fetching import Fetcher, Manners
from pipeline.datasets.download.network import Network
from pipeline.datasets.download.seen import Seen
from tests.datasets.download.server import Server, serving

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

MANNERS = Manners(
    attempts=3,
    backoff_s=0.01,
    backoff_limit_s=0.05,
    read_timeout_s=0.5,
    slowest_kb_s=1,
    keep_free=0,
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    """Honest, with the same file at ``/a`` and, as a mirror, at ``/b``."""
    with serving({"/a": CONTENT, "/b": CONTENT}) as found:
        yield found


class Getter:
    """Fetches into a folder of its own, and keeps count of the bytes that it was told of."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.stop = Event()
        self.told = 0
        self.fetcher = self.fetcher_with(MANNERS)

    def fetcher_with(self, manners: Manners) -> Fetcher:
        network = Network(
            connections=4, connect_timeout_s=0.5, read_timeout_s=manners.read_timeout_s
        )
        return Fetcher(network, manners, Seen(self.folder / "seen.jsonl"), self.stop)

    def patience(self, **changes: Any) -> None:
        self.fetcher = self.fetcher_with(replace(MANNERS, **changes))

    def resource(self, *paths: str, known: bool = True, **changes: Any) -> Resource:
        """Of the server's own paths or whole addresses; ``known``: with its size and hash."""
        addresses = [path if "//" in path else self.server.url + path for path in paths]
        facts = {"bytes": len(CONTENT), "sha256": SHA256} if known else {"at_most": 150_000}
        return Resource(name="file", addresses=tuple(addresses), **{**facts, **changes})

    def get(self, *paths: str, resource: Resource | None = None, **changes: Any) -> bytes:
        """The file as it was fetched."""
        wanted = resource or self.resource(*(paths or ("/a",)), **changes)
        self.fetcher.fetch(wanted, self.path, name="source/file", arrived=self._arrived)
        return self.path.read_bytes()

    def _arrived(self, count: int) -> None:
        self.told += count

    @property
    def path(self) -> Path:
        return self.folder / "source" / "file"

    def left(self) -> set[str]:
        """Every file of the folder but the record of sightings."""
        found = {str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file()}
        return found - {"seen.jsonl"}


@pytest.fixture
def getter(tmp_path: Path, server: Server) -> Iterator[Getter]:
    found = Getter(tmp_path, server)
    yield found
    found.fetcher.network.close()


Get = Callable[..., bytes]
