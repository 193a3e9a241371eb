"""kill -9 at fifty random points: the next run carries on, and the result is the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.datasets.download.published import Published
from tests.datasets.download.server import Answer, serving
from tests.repository import ROOT

KILLS = 50
pytestmark = pytest.mark.timeout(900)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file by its name, links followed; of the record the lines in any order."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    found["seen.jsonl"] = b"\n".join(sorted(found.get("seen.jsonl", b"").splitlines()))
    return found


def run(folder: Path, table: Path, *, kills: int = 0, calls: int = 1) -> str:
    places = [str(table), str(folder / "downloads"), str(folder / "artifacts")]
    arguments = [*places, str(kills), str(calls), "3"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.datasets.download.killed", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    published = Published(12)
    with serving(published.files) as server:
        server.always = Answer(pause_s=0.002, chunk=300)
        table = published.table(server.url, tmp_path / "table.yaml")
        calls = int(run(tmp_path / "calm", table))
        calm = len(server.requests)
        killed = run(tmp_path / "killed", table, kills=KILLS, calls=calls // 2)
        assert killed == str(KILLS)
        starts = [request.start for request in server.requests[calm:]]
    for part in ("downloads", "artifacts"):
        assert tree(tmp_path / "killed" / part) == tree(tmp_path / "calm" / part)
    assert (tmp_path / "killed/artifacts/toy/images").resolve().is_dir()
    assert sum(start is not None for start in starts) > 5  # parts were gone on with
