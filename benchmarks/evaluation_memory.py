"""The memory of evaluation hardly grows with the number of images.

`ris respond`, `ris segment` and `ris evaluate`, each as a process of its own, on a number of images
and on four times as many: the peak of its resident memory, of which imports alone take 0.6 GiB. In
brackets, the growth for each further image. Keeping one float32 logit map an expression would cost
some 650 KiB an image. Known to grow: pictures in the cache (48 KiB each, up to
`machine.image_cache_mb`), a record of each expression, and what oneDNN keeps for each shape of
batch, of which `padded` in `pipeline/inference.py` leaves few. The rest was not traced.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.rows import Row
from benchmarks.settings import ROOT, THREADS
from benchmarks.world import build_world

PREPARES = "refine"  # by threshold only, which evaluation cannot tell; not measured here
FULL: dict[str, Any] = {"images": 200, "verbs": ("respond", PREPARES, "segment", "evaluate")}
TINY: dict[str, Any] = {"images": 2, "verbs": ("segment",)}
TIMES = 4
FLAT = 1.15


def rows(*, images: int, verbs: Sequence[str]) -> list[Row]:
    """Peak memory of every verb at 1x and 4x; verbs run in the given order."""
    few, many = peaks(images, verbs), peaks(TIMES * images, verbs)
    found: list[Row] = []
    for verb in (verb for verb in verbs if verb != PREPARES):
        growth = 1024 * (many[verb] - few[verb]) / ((TIMES - 1) * images)
        found.append(
            Row(
                claim=(
                    f"memory of `ris {verb}`: {images} images, against {TIMES * images} "
                    f"({growth:+.0f} KiB/image)"
                ),
                ours=few[verb],
                alternative=many[verb],
                unit="MiB",
                ratio=many[verb] / few[verb],
                at_most=FLAT,
            )
        )
    return found


def peaks(images: int, verbs: Sequence[str]) -> dict[str, float]:
    """Peak memory in MiB of each verb, on a miniature of so many held-out images."""
    changes: dict[str, Any] = {"pseudo_labels": {"refine": ["threshold"]}}
    with tempfile.TemporaryDirectory() as folder:
        config = build_world(Path(folder), train=1, held_out=images, changes=changes)
        path, content = Path(folder) / "config.yaml", config.model_dump(mode="json")
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return {verb: peak(verb, path) for verb in verbs}


def peak(verb: str, config: Path) -> float:
    """Run a verb; its peak memory in MiB."""
    command = [sys.executable, "-m", "benchmarks.peak", verb, "--config", str(config)]
    command += ["--run", "weak", "--threads", str(THREADS)]
    if verb == PREPARES:
        command += ["--shard", "0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(f"ris {verb} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])
