"""A real HTTP server on this machine that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

CHUNK = 8192


@dataclass
class Answer:
    """How one request is answered; as it is, an honest server with Range and a strong ETag.

    cut: bytes of the body after which the connection is dropped.
    pause_s: before every ``chunk`` bytes; silence_s: before the head.
    headers: more of them, or other values; None takes one away.
    length: what Content-Length claims; "none" for a body that ends with the connection, "chunked".
    """

    status: int | None = None
    cut: int | None = None
    pause_s: float = 0
    chunk: int = CHUNK
    silence_s: float = 0
    ranges: bool = True
    checks_if_range: bool = True
    headers: dict[str, str | None] = field(default_factory=dict)
    length: int | str | None = None
    endless: bool = False
    content: bytes | None = None
    shift: int = 0


@dataclass
class Request:
    path: str
    headers: dict[str, str]

    @property
    def start(self) -> int | None:
        text = self.headers.get("Range")
        return None if text is None else int(text.removeprefix("bytes=").rstrip("-"))


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is what the tests are about."""


class Server:
    """``files`` by path; ``answers[path]`` are used up request by request, then it is honest."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.answers: dict[str, list[Answer]] = {}
        self.always = Answer()
        self.requests: list[Request] = []
        self.busy = self.busiest = 0
        self._guard = Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                return

        self._http = _QuietServer(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def next(self, path: str, *answers: Answer) -> None:
        self.answers.setdefault(path, []).extend(answers)

    def starts(self, path: str) -> list[int | None]:
        """Where each request for a path asked to begin."""
        return [request.start for request in self.requests if request.path == path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = Request(handler.path, dict(handler.headers.items()))
        self.requests.append(request)
        planned = self.answers.get(handler.path)
        how = planned.pop(0) if planned else self.always
        with self._guard:
            self.busy += 1
            self.busiest = max(self.busy, self.busiest)
        time.sleep(how.silence_s)
        try:
            self._send(handler, request, how)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        finally:
            with self._guard:
                self.busy -= 1

    def _send(self, handler: BaseHTTPRequestHandler, request: Request, how: Answer) -> None:
        found = self.files.get(handler.path.partition("?")[0])
        content = how.content if how.content is not None else found
        status = how.status or (404 if content is None else 200)
        body = content or b""
        head: dict[str, str | None] = {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        start = request.start
        tag = how.headers.get("ETag", head["ETag"])
        same = not how.checks_if_range or request.headers.get("If-Range", tag) == tag
        if start is not None and how.ranges and same and status == 200:
            if start >= len(body):
                status, body = 416, b""
            else:
                first = start + how.shift
                head["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[first:]
        handler.send_response(status)
        if how.length == "chunked" or how.endless:
            head["Transfer-Encoding"] = "chunked"
        elif how.length != "none":
            head["Content-Length"] = str(len(body) if how.length is None else how.length)
        else:
            head["Connection"] = "close"
        for name, value in (head | how.headers).items():
            if value is not None:
                handler.send_header(name, value)
        handler.end_headers()
        for piece in self._pieces(body, how):
            time.sleep(how.pause_s)
            if "Transfer-Encoding" in head:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            handler.wfile.write(piece)
            handler.wfile.flush()
        if how.cut is not None or how.length == "none":
            handler.close_connection = True
            return
        if "Transfer-Encoding" in head:
            handler.wfile.write(b"0\r\n\r\n")

    def _pieces(self, body: bytes, how: Answer) -> Iterator[bytes]:
        if how.endless:
            while True:
                yield b"\0" * how.chunk
        end = len(body) if how.cut is None else how.cut
        for begin in range(0, end, how.chunk):
            yield body[begin : min(begin + how.chunk, end)]


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    server = Server(files)
    server.start()
    try:
        yield server
    finally:
        server.stop()
