"""Fetches a dataset again and again, killed at random points, until it is through.

Run as a program with: table, downloads, artifacts, number of kills, seed. Imports once and forks,
so that a kill can come at any point of the work. Prints how many times it was killed at work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.datasets import ReadOptions, read_refer
from pipeline.datasets.download import Manners, Places, opened, read_catalogue, show_folder

LONGEST = 0.25  # seconds; a run that is not killed takes several times as long
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
    with opened(places, connections=4, connect_timeout_s=5, manners=MANNERS) as folder:
        folder.bring(["toy", "clip"])
        annotations = places.annotations("toy")
        tables = read_refer(annotations, dataset="toy", options=OPTIONS)
        folder.bring_pictures("pictures", tables.images)
        links = {path.name: path for path in annotations.iterdir()}
        show_folder(artifacts / "toy", {**links, "images": places.pictures("pictures")})


def main(table: Path, downloads: Path, artifacts: Path, kills: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    killed = 0
    while killed < kills:
        child = os.fork()
        if child == 0:
            try:
                work(table, downloads, artifacts)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                os._exit(1)
            os._exit(0)
        time.sleep(rng.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit("a run failed that was not killed")
        else:  # through before the kill: again, from the start
            for path in sorted(downloads.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
    work(table, downloads, artifacts)
    print(killed)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *map(int, sys.argv[4:6]))
