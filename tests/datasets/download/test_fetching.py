"""Whatever a server does, the file is whole and right, or it is not there."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer

import pytest

from pipeline.datasets.download.fetching import StoppedError
from pipeline.datasets.download.network import is_allowed
from pipeline.safety import InputError
from tests.datasets.download.conftest import CONTENT, SHA256, Getter
from tests.datasets.download.server import Answer, Server

HALF = len(CONTENT) // 2
OTHER = CONTENT[::-1]


def test_a_file_comes_whole_and_is_written_down(getter: Getter) -> None:
    assert getter.get() == CONTENT
    assert getter.left() == {"source/file"}
    (line,) = (getter.folder / "seen.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "file": "source/file",
        "bytes": len(CONTENT),
        "sha256": SHA256,
        "address": f"{getter.server.url}/a",
    }
    assert getter.told == len(CONTENT)
    getter.get()
    assert len(getter.server.requests) == 1


def test_a_dropped_connection_goes_on_where_it_stopped(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=30_000), Answer(cut=HALF))
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None, 30_000, 80_000]
    assert getter.server.requests[1].headers["If-Range"].startswith('"')
    assert getter.told == len(CONTENT)


def test_more_drops_than_attempts_are_fine_while_something_comes(getter: Getter) -> None:
    getter.server.next("/a", *[Answer(cut=9_000) for _ in range(10)])
    assert getter.get() == CONTENT
    assert len(getter.server.requests) == 11


def test_a_server_without_range_starts_again(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF), Answer(ranges=False))
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None, HALF]
    assert getter.told == len(CONTENT)


def test_a_server_without_range_that_always_drops_is_given_up(getter: Getter) -> None:
    getter.server.always = Answer(cut=HALF, ranges=False)
    with pytest.raises(InputError, match=r"broke off.*try again later"):
        getter.get()
    assert len(getter.server.requests) == 4  # the first brought something new, three did not


def test_a_file_that_changes_on_the_way_is_begun_anew(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF, content=OTHER))
    assert getter.get(known=False) == CONTENT
    assert getter.server.starts("/a") == [None, HALF]


def test_a_part_of_a_changed_file_is_not_joined(getter: Getter) -> None:
    """Sent by a server that answers Range and takes no notice of If-Range."""
    getter.server.next("/a", Answer(cut=HALF, content=OTHER), Answer(checks_if_range=False))
    assert getter.get(known=False) == CONTENT
    assert getter.server.starts("/a") == [None, HALF, None]


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_validators_only_a_hash_lets_parts_be_joined(
    getter: Getter, tag: str | None
) -> None:
    getter.server.next("/a", Answer(cut=HALF, headers={"ETag": tag}))
    getter.get(known=False)
    assert getter.server.starts("/a") == [None, None]
    getter.path.unlink()
    getter.server.next("/a", Answer(cut=HALF, headers={"ETag": tag}))
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None, None, None, HALF]
    assert "If-Range" not in getter.server.requests[-1].headers


def test_a_date_serves_where_the_tag_is_weak(getter: Getter) -> None:
    date = "Sat, 04 Oct 2026 10:00:00 GMT"
    headers: dict[str, str | None] = {"ETag": 'W/"weak"', "Last-Modified": date}
    getter.server.next("/a", Answer(cut=HALF, headers=headers), Answer(checks_if_range=False))
    getter.get(known=False)
    assert getter.server.requests[1].headers["If-Range"] == date


def test_parts_that_do_not_fit_are_kept_aside_and_fetched_again(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF, content=OTHER, headers={"ETag": None}))
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None, HALF, None]
    assert (getter.folder / "source" / "file.bad").read_bytes() == OTHER[:HALF] + CONTENT[HALF:]


def test_the_wrong_part_is_not_joined(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF), Answer(shift=10))
    assert getter.get(known=False) == CONTENT
    assert getter.server.starts("/a") == [None, HALF, None]


def test_a_range_that_is_refused_starts_again(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF), Answer(status=416))
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None, HALF, None]


def test_a_whole_part_is_not_asked_for_again(getter: Getter) -> None:
    getter.path.parent.mkdir()
    getter.path.with_name("file.part").write_bytes(CONTENT)
    getter.path.with_name("file.part.json").write_text(
        json.dumps({"address": "x", "validator": "", "total": len(CONTENT), "mixed": False})
    )
    assert getter.get() == CONTENT
    assert not getter.server.requests


def test_a_part_of_unknown_origin_is_not_used(getter: Getter) -> None:
    getter.path.parent.mkdir()
    getter.path.with_name("file.part").write_bytes(OTHER[:HALF])
    getter.path.with_name("file.part.json").write_text("torn")
    assert getter.get() == CONTENT
    assert getter.server.starts("/a") == [None]
    assert getter.left() == {"source/file"}


def test_another_mirror_goes_on_with_a_file_of_known_hash(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF), *[Answer(status=503) for _ in range(9)])
    assert getter.get("/a", "/b") == CONTENT
    assert getter.server.starts("/b") == [HALF]


def test_another_mirror_begins_a_file_of_unknown_hash(getter: Getter) -> None:
    getter.server.next("/a", Answer(cut=HALF), *[Answer(status=503) for _ in range(9)])
    assert getter.get("/a", "/b", known=False) == CONTENT
    assert getter.server.starts("/b") == [None]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Answer(status=404), "status 404"),
        (Answer(status=403), "status 403"),
        (Answer(content=CONTENT[:HALF]), "offers 50,000 bytes, not 100,000"),
        (Answer(content=OTHER), "has the sha256"),
        (Answer(headers={"Content-Type": "text/html; charset=utf-8"}), "web page"),
        (Answer(headers={"Content-Encoding": "gzip"}), "compressed"),
        (Answer(status=206), "does not say which"),
        (Answer(endless=True), "does not end after 100,000 bytes"),
    ],
)
def test_a_wrong_mirror_is_left_for_the_next(getter: Getter, wrong: Answer, said: str) -> None:
    getter.server.next("/a", wrong)
    assert getter.get("/a", "/b") == CONTENT
    assert getter.server.starts("/a") == [None]
    getter.path.unlink()
    getter.server.next("/a", wrong)
    with pytest.raises(InputError, match=said):
        getter.get()
    assert not getter.path.exists()


def test_a_wrong_file_is_kept_aside(getter: Getter) -> None:
    getter.server.next("/a", Answer(content=OTHER))
    with pytest.raises(InputError, match=r"kept as file\.bad"):
        getter.get()
    assert (getter.folder / "source" / "file.bad").read_bytes() == OTHER
    assert getter.left() == {"source/file.bad"}
    assert not (getter.folder / "seen.jsonl").exists()


def test_md5_is_checked_too(getter: Getter) -> None:
    with pytest.raises(InputError, match="has the md5"):
        getter.get(known=False, md5="0" * 32)


def test_an_unknown_file_must_stay_what_it_was(getter: Getter) -> None:
    assert getter.get(known=False) == CONTENT
    getter.path.unlink()
    getter.server.files["/a"] = OTHER
    with pytest.raises(InputError, match=f"but was {SHA256} when it was first seen"):
        getter.get(known=False)
    getter.server.files["/a"] = CONTENT
    assert getter.get(known=False) == CONTENT


def test_a_body_that_grows_beyond_its_bound_is_thrown_away(getter: Getter) -> None:
    getter.server.next("/a", Answer(endless=True))
    with pytest.raises(InputError, match="does not end after 150,000 bytes"):
        getter.get(known=False)
    assert getter.left() == set()
    assert getter.told == 0


def test_a_body_of_no_known_end_needs_a_known_size(getter: Getter) -> None:
    getter.server.next("/a", Answer(length="none"))
    with pytest.raises(InputError, match="does not say how long"):
        getter.get(known=False)
    getter.server.next("/a", Answer(length="none", cut=HALF), Answer(length="none"))
    assert getter.get() == CONTENT


def test_a_chunked_body_has_an_end(getter: Getter) -> None:
    getter.server.next("/a", Answer(length="chunked", cut=HALF), Answer(length="chunked"))
    assert getter.get(known=False) == CONTENT


def test_a_claimed_length_that_is_not_kept_is_an_interruption(getter: Getter) -> None:
    getter.server.next("/a", Answer(length=len(CONTENT), cut=HALF))
    assert getter.get() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_waited_for_as_it_asks_within_bounds(getter: Getter, status: int) -> None:
    getter.patience(backoff_limit_s=0.4)
    getter.server.next("/a", Answer(status=status, headers={"Retry-After": "3600"}))
    begun = time.monotonic()
    assert getter.get() == CONTENT
    assert 0.4 <= time.monotonic() - begun < 3


def test_a_server_that_stays_busy_is_given_up(getter: Getter) -> None:
    getter.server.always = Answer(status=503)
    with pytest.raises(InputError, match="status 503"):
        getter.get()
    assert len(getter.server.requests) == 3


def test_a_silent_server_is_left(getter: Getter) -> None:
    getter.server.next("/a", Answer(silence_s=2))
    begun = time.monotonic()
    assert getter.get("/a", "/b") == CONTENT
    assert time.monotonic() - begun < 1.8


def test_a_trickle_is_cut_and_gone_on_with_elsewhere(getter: Getter) -> None:
    getter.patience(read_timeout_s=0.2)
    getter.server.next("/a", *[Answer(pause_s=0.02, chunk=1, ranges=False) for _ in range(99)])
    begun = time.monotonic()
    with pytest.raises(InputError, match="bytes a second"):
        getter.get()
    assert time.monotonic() - begun < 20
    assert getter.get("/a", "/b") == CONTENT
    assert getter.server.starts("/b")[-1] is not None


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody answers: a port that is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/a"


def test_a_dead_host_is_asked_last_the_next_time(getter: Getter, nobody: str) -> None:
    assert getter.get(nobody, "/a") == CONTENT
    addresses = getter.resource(nobody, "/a").addresses
    assert getter.fetcher.network.ranked(addresses) == list(addresses)[::-1]


def test_a_dead_host_alone_is_given_up(getter: Getter, nobody: str) -> None:
    with pytest.raises(InputError, match="no connection"):
        getter.get(nobody)


def test_a_redirect_within_the_table_is_followed(getter: Getter) -> None:
    getter.server.next("/a", Answer(status=302, headers={"Location": "/b"}))
    assert getter.get() == CONTENT
    assert getter.server.starts("/b") == [None]


@pytest.mark.parametrize(
    "place",
    [
        "http://localhost:{port}/b",  # no host of the table, though the same machine
        "http://127.0.0.1:1/b",
        "file:///etc/passwd",
        "ftp://127.0.0.1/b",
        "http://user:secret@127.0.0.1:{port}/b",
        "//localhost:{port}/b?token=secret",
        "http://[broken/b",
        "",
    ],
)
def test_a_redirect_elsewhere_is_refused(getter: Getter, place: str) -> None:
    location = place.format(port=getter.server.port)
    getter.server.next("/a", Answer(status=301, headers={"Location": location}))
    with pytest.raises(InputError, match="leads on") as caught:
        getter.get()
    assert "secret" not in str(caught.value)
    assert [request.path for request in getter.server.requests if request.path == "/b"] == []


def test_https_may_be_anywhere_and_http_is_for_the_hosts_of_the_table() -> None:
    hosts = {"example.org", "example.org:8080"}
    for allowed in ("https://elsewhere.org/b", "http://example.org/b", "http://example.org:8080/"):
        assert is_allowed(allowed, hosts), allowed
    for refused in ("http://elsewhere.org/b", "http://example.org:81/b", "https://me@example.org"):
        assert not is_allowed(refused, hosts), refused


def test_redirects_in_a_circle_end(getter: Getter) -> None:
    getter.server.always = Answer(status=302, headers={"Location": "/a"})
    with pytest.raises(InputError, match="more than 5 times"):
        getter.get()


def test_an_endless_body_of_a_redirect_is_not_read(getter: Getter) -> None:
    getter.server.next("/a", Answer(status=302, headers={"Location": "/b"}, endless=True))
    assert getter.get() == CONTENT


def test_no_query_of_an_address_is_shown(getter: Getter) -> None:
    with pytest.raises(InputError) as caught:
        getter.get("/gone?token=secret")
    assert "/gone" in str(caught.value) and "secret" not in str(caught.value)


def test_nothing_about_the_user_is_sent(getter: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = getter.folder / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    getter.get()
    sent = set(getter.server.requests[0].headers)
    assert sent == {"Host", "Accept-Encoding", "User-Agent"}


def test_a_proxy_of_the_environment_is_used_and_its_password_is_not_shown(
    getter: Getter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy, the server is asked for whole addresses."""
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{getter.server.port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    getter.patience()
    getter.server.files["http://example.invalid/a"] = CONTENT
    assert getter.get("http://example.invalid/a") == CONTENT
    sent = {name.lower(): value for name, value in getter.server.requests[0].headers.items()}
    assert sent["proxy-authorization"] == "Basic bWU6c2VjcmV0"
    getter.path.unlink()
    with pytest.raises(InputError) as caught:
        getter.get("http://example.invalid/b")
    assert "secret" not in str(caught.value)


def test_hosts_without_a_proxy_are_asked_themselves(
    getter: Getter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    getter.patience()
    assert getter.get() == CONTENT


def test_a_full_disk_is_told_before_the_body_is_read(getter: Getter) -> None:
    getter.patience(keep_free=1 << 60)
    with pytest.raises(InputError, match="make room"):
        getter.get("/a", "/b")
    assert getter.server.starts("/b") == []
    assert getter.path.with_name("file.part").exists() is False


def test_a_stop_ends_at_once_and_keeps_what_came(getter: Getter) -> None:
    getter.server.next("/a", Answer(pause_s=0.02, chunk=100))
    Timer(0.3, getter.stop.set).start()
    begun = time.monotonic()
    with pytest.raises(StoppedError):
        getter.get()
    assert time.monotonic() - begun < 5
    part = getter.path.with_name("file.part")
    size = part.stat().st_size
    assert 0 < size < len(CONTENT)
    getter.stop.clear()
    assert getter.get() == CONTENT
    assert getter.server.starts("/a")[-1] == size


def test_what_inspection_refuses_is_kept_aside(getter: Getter) -> None:
    def refuse(path: Path) -> None:
        raise InputError("not what it seems")

    with pytest.raises(InputError, match=r"is damaged \(not what it seems"):
        getter.fetcher.fetch(
            getter.resource("/a"), getter.path, name="x", arrived=int, inspect=refuse
        )
    assert getter.left() == {"source/file.bad"}


def test_a_place_that_cannot_be_written_is_told(getter: Getter, server: Server) -> None:
    (getter.folder / "source").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        getter.get()
