"""One request at a time to a host that may be slow, dead or hostile.

Redirects are followed by hand: only to https, or to a host that the table names. No names,
passwords, cookies or tokens are sent, and none that an address may carry is shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager
from urllib3.exceptions import HTTPError, LocationParseError, SSLError
from urllib3.util import Timeout, make_headers

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_AGENT = "ris-weak (research data download)"


class RefusedError(Exception):
    """This address will not do, however often it is asked."""


class InterruptedFetchError(Exception):
    """This address did not do now; ``wait`` seconds were asked for before the next request."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


def shown(address: str) -> str:
    """An address fit for a log: without name, password, query and fragment."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def is_allowed(address: str, hosts: Collection[str]) -> bool:
    """May a redirect lead there: https anywhere, http only to ``hosts`` (with their ports)?"""
    try:
        parts = urlsplit(address)
        if not parts.hostname or parts.username is not None:
            return False
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.netloc in hosts)


class Network:
    """Connections that are kept and shared by threads, at most ``connections`` to a host."""

    def __init__(
        self, *, connections: int, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        self._connections = connections
        self._timeout = Timeout(connect=connect_timeout_s, read=read_timeout_s)
        self._direct = PoolManager(maxsize=connections, block=True)
        self._proxied: dict[str, ProxyManager] = {}
        self._silent: set[str] = set()
        for scheme, proxy in getproxies().items():
            if scheme in ("http", "https"):
                self._proxied[scheme] = self._through(proxy)

    def _through(self, proxy: str) -> ProxyManager:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        login = f"{parts.username}:{parts.password or ''}" if parts.username else None
        headers = make_headers(proxy_basic_auth=login) if login else None
        plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
        return ProxyManager(plain, maxsize=self._connections, block=True, proxy_headers=headers)

    def close(self) -> None:
        for pool in (self._direct, *self._proxied.values()):
            pool.clear()

    def ranked(self, addresses: Iterable[str]) -> list[str]:
        """The addresses, those of hosts that did not answer last time after the others."""
        return sorted(addresses, key=lambda address: urlsplit(address).netloc in self._silent)

    def open(
        self, address: str, *, headers: Mapping[str, str], hosts: Collection[str]
    ) -> BaseHTTPResponse:
        """The answer to a GET, its body not yet read; the caller closes it.

        RefusedError for a forbidden redirect or a certificate that does not fit,
        InterruptedFetchError where nobody answers.
        """
        sent = {"Accept-Encoding": "identity", "User-Agent": _AGENT, **headers}
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get(address, sent)
            if response.status not in _REDIRECTS:
                return response
            target = response.headers.get("Location", "")
            let_go(response)  # unread: its body may be endless
            try:
                target = urljoin(address, target) if target else ""
            except ValueError:
                target = ""
            if not is_allowed(target, hosts):
                raise RefusedError(
                    f"leads on to {shown(target) or 'nowhere'}, which is neither https nor a host "
                    "of the table"
                )
            address = target
        raise RefusedError(f"leads on more than {_MAX_REDIRECTS} times")

    def _get(self, address: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        parts = urlsplit(address)
        pool: PoolManager = self._direct
        if parts.scheme in self._proxied and not proxy_bypass(parts.hostname or ""):
            pool = self._proxied[parts.scheme]
        try:
            response = pool.request(
                "GET",
                address,
                headers=dict(headers),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
                timeout=self._timeout,
            )
            self._silent.discard(parts.netloc)
            return response
        except (SSLError, LocationParseError) as error:
            raise RefusedError(_reason(error)) from None
        except (HTTPError, OSError, ValueError) as error:
            self._silent.add(parts.netloc)
            raise InterruptedFetchError(_reason(error)) from None


def let_go(response: BaseHTTPResponse) -> None:
    """End an answer, read to its end or not; closing alone would keep its place in the pool."""
    response.close()
    response.release_conn()


def _reason(error: Exception) -> str:
    """What went wrong, in the error's own kind only: its words may repeat the whole address."""
    kind = type(error).__name__.removesuffix("Error")
    words = {
        "NameResolution": "no such host",
        "ConnectTimeout": "does not answer",
        "ReadTimeout": "stopped answering",
        "NewConnection": "no connection",
        "SSL": "its certificate does not fit",
    }
    return words.get(kind, f"connection failed ({kind})")
