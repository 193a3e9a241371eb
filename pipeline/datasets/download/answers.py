"""What the head of a server's answer says, and whether its body is worth reading."""

from __future__ import annotations

import re

from urllib3 import BaseHTTPResponse

from pipeline.datasets.download.catalogue import Resource
from pipeline.datasets.download.network import InterruptedFetchError, RefusedError

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_TRANSIENT = (408, 416, 425, 429, 500, 502, 503, 504)


def check_status(response: BaseHTTPResponse) -> None:
    """InterruptedFetchError where another try may help, RefusedError where none will."""
    status = response.status
    if status in (200, 206):
        return
    if status in _TRANSIENT:
        wait = response.headers.get("Retry-After", "")
        seconds = float(wait) if wait.isdecimal() and len(wait) < 7 else 0.0
        raise InterruptedFetchError(f"does not send the file now (status {status})", seconds)
    raise RefusedError(f"does not send the file (status {status})")


def check_length(response: BaseHTTPResponse, total: int | None, resource: Resource) -> None:
    """RefusedError if the whole file would be too long, too short or of no known end."""
    if total is None:
        has_an_end = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        if resource.bytes is None and not has_an_end:
            raise RefusedError("does not say how long the file is")
    elif resource.bytes is not None and total != resource.bytes:
        raise RefusedError(f"offers {total:,} bytes, not {resource.bytes:,}")
    elif total > resource.limit:
        raise RefusedError(f"offers {total:,} bytes, more than {resource.limit:,}")


def check_kind(response: BaseHTTPResponse) -> None:
    """RefusedError for a body that is not the file itself."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusedError("sends the file compressed, though it was not asked to")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise RefusedError("sends a web page in place of the file")


def range_of(response: BaseHTTPResponse) -> tuple[int, int]:
    """First byte and whole length of a partial answer, which goes to the end of the file."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        raise RefusedError("sends a part of the file and does not say which")
    return int(found[1]), int(found[2]) + 1 if found[3] == "*" else int(found[3])


def length_of(response: BaseHTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() and len(text) < 16 else None


def validator_of(response: BaseHTTPResponse) -> str:
    """What If-Range may name: a strong ETag, else the date of the last change, else nothing."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        return str(tag)
    return str(response.headers.get("Last-Modified", ""))
