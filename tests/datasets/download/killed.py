"""Fetches a dataset again and again, killed at random points, until it is through.

Run as a program with: table, downloads, artifacts, number of kills, calls, seed. Imports once and
forks. A point is a number of calls that the code which writes has made, up to ``calls``, and some
moment in the next milliseconds: as random on a busy machine as on an idle one. Prints how often it
was killed at work; where no kill is asked for, how many calls there are.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from pipeline.datasets import ReadOptions, read_refer
from pipeline.datasets.download import (
    Manners,
    Places,
    disk,
    fetching,
    folder,
    opened,
    part,
    read_catalogue,
    seen,
    show_folder,
    view,
)
from pipeline.safety import archives

# What writes: a kill while files are read disturbs nothing.
WRITERS = tuple(module.__file__ for module in (archives, disk, fetching, folder, part, seen, view))
SOON = 0.004  # seconds
MANNERS = Manners(
    attempts=4,
    backoff_s=0.005,
    backoff_limit_s=0.01,
    read_timeout_s=5,
    slowest_kb_s=0,
    keep_free=0,
)
OPTIONS = ReadOptions(
    split_by="umd",
    overlapping_polygons="union",
    train="train",
    held_out_split="val",
    held_out=0.5,
)


def work(table: Path, downloads: Path, artifacts: Path) -> None:
    places = Places(downloads, read_catalogue(table))
    with opened(places, connections=4, connect_timeout_s=5, manners=MANNERS) as fetched:
        fetched.bring(["toy", "clip"])
        annotations = places.annotations("toy")
        tables = read_refer(annotations, dataset="toy", options=OPTIONS)
        fetched.bring_pictures("pictures", tables.images)
        links = {path.name: path for path in annotations.iterdir()}
        show_folder(artifacts / "toy", {**links, "images": places.pictures("pictures")})


def counted(reached: Callable[[int], object]) -> None:
    """From now on, tell the number of each call in what writes, by any thread."""
    numbers = count(1)

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event in ("call", "c_call") and frame.f_code.co_filename in WRITERS:
            reached(next(numbers))

    threading.setprofile(look)
    sys.setprofile(look)


def child(ready: int, calls: int, *places: Path) -> None:
    """The work; a byte to ``ready`` at that number of calls."""
    try:
        counted(lambda number: number == calls and os.write(ready, b"!"))
        work(*places)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(1)
    os._exit(0)


def killed_at(calls: int, delay: float, *places: Path) -> bool:
    """Whether the kill came before the work was through."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(read)
        child(write, calls, *places)
    os.close(write)
    if os.read(read, 1):  # nothing at its end
        time.sleep(delay)
        os.kill(process, signal.SIGKILL)
    os.close(read)
    status = os.waitpid(process, 0)[1]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        sys.exit("a run failed that was not killed")
    return os.WIFSIGNALED(status)


def main(table: Path, downloads: Path, artifacts: Path, kills: int, calls: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    killed = made = 0
    while killed < kills:
        point = int(rng.integers(1, calls))
        if killed_at(point, rng.uniform(0, SOON), table, downloads, artifacts):
            killed += 1
        else:  # through before the kill: again, from the start
            for path in sorted(downloads.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    def reached(number: int) -> None:
        nonlocal made
        made = max(made, number)

    counted(reached)
    work(table, downloads, artifacts)
    sys.setprofile(None)
    print(killed if kills else made)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:7]))
