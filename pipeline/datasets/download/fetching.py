"""One file from one of its mirrors, through any number of broken connections.

What has arrived is kept beside the file to be and continued by Range; a server that changed the
file, or does not know Range, makes it start again. The file takes its name only when its size and
hashes are right; a wrong one is kept aside as ``<name>.bad``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from pipeline.datasets.download.answers import (
    check_kind,
    check_length,
    check_status,
    length_of,
    range_of,
    validator_of,
)
from pipeline.datasets.download.catalogue import Resource
from pipeline.datasets.download.disk import DiskError, check_room
from pipeline.datasets.download.network import (
    InterruptedFetchError,
    Network,
    RefusedError,
    let_go,
    shown,
)
from pipeline.datasets.download.part import Origin, Part
from pipeline.datasets.download.seen import Seen, Sighting
from pipeline.datasets.download.verification import content_of, fault_of
from pipeline.safety import InputError


class StoppedError(Exception):
    """The program is ending; what has arrived stays for the next time."""


_READ = 1 << 16

Arrived = Callable[[int], object]
Inspect = Callable[[Path], None]
"""Looks into a file whose hash is right or unknown; InputError says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How long a server is waited for.

    attempts: rounds over the mirrors that bring nothing, before giving up.
    backoff_s: after such a round, doubled by each up to ``backoff_limit_s``, which also bounds
        the wait that a server asks for.
    read_timeout_s: without a byte, or at a mean rate below ``slowest_kb_s``, a connection ends.
    keep_free: bytes of the disk that stay free.
    """

    attempts: int
    backoff_s: float
    backoff_limit_s: float
    read_timeout_s: float
    slowest_kb_s: float
    keep_free: int


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches files; shared by threads, each file by one of them. ``stop`` ends all soon."""

    network: Network
    manners: Manners
    seen: Seen
    stop: Event

    def fetch(
        self,
        resource: Resource,
        destination: Path,
        *,
        name: str,
        arrived: Arrived,
        inspect: Inspect | None = None,
    ) -> None:
        """Bring ``resource`` to ``destination``, unless it is there.

        name: what the record of sightings calls it.
        arrived: told of every stretch of bytes (negative where some are thrown away).
        InputError tells what each mirror had to say.
        """
        if destination.exists():
            return
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            _Errand(self, resource, Part(destination), name, arrived, inspect).run()
        except OSError as error:
            raise DiskError(f"{destination}: cannot be written ({error.strerror})") from None


class _Errand:
    """The way of one file."""

    def __init__(
        self,
        fetcher: Fetcher,
        resource: Resource,
        part: Part,
        name: str,
        arrived: Arrived,
        inspect: Inspect | None,
    ) -> None:
        self._fetcher, self._manners = fetcher, fetcher.manners
        self._resource, self._part, self._name = resource, part, name
        self._arrived, self._inspect = arrived, inspect
        self._furthest = part.size
        self._said: dict[str, str] = {}
        arrived(part.size)

    def run(self) -> None:
        mirrors, fruitless = self._fetcher.network.ranked(self._resource.addresses), 0
        while mirrors and fruitless < self._manners.attempts:
            wait = 0.0
            for mirror in tuple(mirrors):
                try:
                    wait = max(wait, self._ask(mirror))
                except RefusedError as error:
                    self._said[mirror] = str(error)
                    mirrors.remove(mirror)
                else:
                    if self._part.destination.exists():
                        return
            backoff = self._manners.backoff_s * 2**fruitless
            fruitless += 1
            if mirrors and fruitless < self._manners.attempts:
                self._rest(min(max(wait, backoff), self._manners.backoff_limit_s))
        reasons = "; ".join(f"{shown(address)}: {said}" for address, said in self._said.items())
        raise InputError(
            f"{self._part.destination}: could not be fetched ({reasons}); try again later (what "
            "has arrived is kept), or put the file there yourself"
        )

    def _rest(self, seconds: float) -> None:
        if self._fetcher.stop.wait(seconds):
            raise StoppedError

    def _ask(self, mirror: str) -> float:
        """Ask one mirror for as long as it brings something new.

        Returns the seconds it wants to be left alone, once it brings nothing.
        """
        while True:
            try:
                self._bring(mirror)
                self._finish(mirror)
                return 0
            except InterruptedFetchError as error:
                self._said[mirror] = str(error)
                if self._part.size <= self._furthest:
                    return error.wait
                self._furthest = self._part.size
                self._rest(min(self._manners.backoff_s, self._manners.backoff_limit_s))

    def _bring(self, mirror: str) -> None:
        """Ask once; returns when the whole body is in the part."""
        origin, size = self._part.origin, self._part.size
        if size and origin is not None and size == (self._resource.bytes or origin.total):
            return  # whole already: the process ended before it was checked
        headers = self._continuation(mirror, origin)
        if not headers:
            size = 0
        response = self._fetcher.network.open(mirror, headers=headers, hosts=self._resource.hosts)
        try:
            self._take(response, mirror, size)
        finally:
            let_go(response)

    def _continuation(self, mirror: str, origin: Origin | None) -> dict[str, str]:
        """Headers that ask for the rest; none if the rest might belong to another file."""
        size = self._part.size
        if not size or origin is None:
            return {}
        if origin.address == mirror and origin.validator:
            return {"Range": f"bytes={size}-", "If-Range": origin.validator}
        if self._resource.is_known:  # the hash will tell whether the parts fit
            return {"Range": f"bytes={size}-"}
        return {}

    def _take(self, response: BaseHTTPResponse, mirror: str, asked_from: int) -> None:
        if response.status == 416:
            self._forget()
        check_status(response)
        validator = validator_of(response)
        total = length_of(response)
        if response.status == 206:
            start, total = range_of(response)
            if start != asked_from or not self._is_the_same(mirror, validator):
                self._forget()
                raise InterruptedFetchError("sent another part than was asked for")
        check_length(response, total, self._resource)
        check_kind(response)
        if response.status == 206 and asked_from:
            self._join(mirror, validator, total)
        else:
            self._arrived(-self._part.size)
            self._part.begin(Origin(mirror, validator, total, mixed=False))
        missing = (total or self._resource.bytes or 0) - self._part.size
        check_room(self._part.path.parent, max(missing, 0), keep_free=self._manners.keep_free)
        self._pour(response)
        whole = total if total is not None else self._resource.bytes
        if whole is not None and self._part.size < whole:
            raise InterruptedFetchError(f"broke off after {self._part.size:,} of {whole:,} bytes")
        origin = self._part.origin
        if total is None and origin is not None:  # so that a whole part is known as such
            self._part.describe(replace(origin, total=self._part.size))

    def _is_the_same(self, mirror: str, validator: str) -> bool:
        """Not so if the server changed the file and sent a part of the new one all the same."""
        origin = self._part.origin
        if origin is None or origin.address != mirror or not (origin.validator and validator):
            return True
        return origin.validator == validator

    def _join(self, mirror: str, validator: str, total: int | None) -> None:
        """Note that bytes of another answer follow, where nothing but the hash binds them."""
        origin = self._part.origin
        if origin is None or origin.address != mirror or not origin.validator:
            self._part.describe(Origin(mirror, validator, total, mixed=True))

    def _pour(self, response: BaseHTTPResponse) -> None:
        """The body into the part, at a bearable speed and up to the limit."""
        limit, left = self._resource.limit, self._resource.limit - self._part.size
        slowest = self._manners.slowest_kb_s * 1000
        since, brought = time.monotonic(), 0
        with open(self._part.path, "ab") as file:
            while True:
                if self._fetcher.stop.is_set():
                    raise StoppedError
                try:
                    chunk = response.read1(_READ, decode_content=False)
                except (HTTPError, OSError) as error:
                    kind = type(error).__name__.removesuffix("Error")
                    raise InterruptedFetchError(f"broke off ({kind})") from None
                if not chunk:
                    return
                if len(chunk) > left:
                    file.close()
                    self._forget()
                    raise RefusedError(f"does not end after {limit:,} bytes")
                file.write(chunk)
                file.flush()  # so that a kill loses nothing that came
                left -= len(chunk)
                brought += len(chunk)
                self._arrived(len(chunk))
                elapsed = time.monotonic() - since
                if elapsed > self._manners.read_timeout_s:
                    if brought < slowest * elapsed:
                        raise InterruptedFetchError(f"sends {brought / elapsed:.0f} bytes a second")
                    since, brought = time.monotonic(), 0

    def _forget(self) -> None:
        self._arrived(-self._part.size)
        self._part.discard()
        self._furthest = 0

    def _finish(self, mirror: str) -> None:
        """Check the whole file and give it its name, or keep it aside."""
        part, resource = self._part, self._resource
        origin = part.origin
        mixed = origin is not None and origin.mixed
        content = content_of(part.path)
        earlier = self._fetcher.seen.get(self._name)
        fault = fault_of(part.path, content, resource, earlier.sha256 if earlier else None)
        if fault is None and self._inspect is not None:
            try:
                self._inspect(part.path)
            except InputError as error:
                fault = f"is damaged ({error})"
        if fault is not None:
            self._arrived(-content.bytes)
            fault = f"{fault} (kept as {part.set_aside().name})"
            self._furthest = 0
            if mixed:  # its parts may come from two versions: this mirror's whole may be right
                raise InterruptedFetchError(fault)
            raise RefusedError(fault)
        source = origin.address if origin is not None else mirror
        self._fetcher.seen.add(Sighting(self._name, content.bytes, content.sha256, shown(source)))
        os.replace(part.path, part.destination)
        part.discard()
