"""The tables and the workflow carry RefCOCO's true sizes: 19,994 images, 142,210 expressions.

Tables of that size (and of a quarter of it) are generated: expressions, response maps of
20 x 20 cells, a pseudo-label an expression and 40 proposals an image. Maps and masks are noise, the
masks as long as the run lengths of shapes with wavy outlines in pictures of 640 x 480, so that
nothing is smaller on disk than it would be. Measured are the disk that all of them take; the
slowest opening of one, which reads every byte for its checksum; the rows of an image, the median
over random images, in the slowest table; and the peak memory of a process that goes through all
response maps and proposals, image by image, at full size against a quarter.

Planning is `snakemake --dry-run` of a run with 16 shards on a folder with that many pictures. All
times are of the processor, children included. `python -m benchmarks.scale docs/scale.png` draws the
costs against the number of images: straight lines through zero grow in proportion, flat ones not.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.rows import Row
from benchmarks.settings import ROOT
from pipeline.store import TableReader, rle_encode, table_writer

FULL: dict[str, Any] = {"images": 19_994, "reads": 200}
TINY: dict[str, Any] = {"images": 64, "reads": 4}
EXPRESSIONS, PROPOSALS, CELLS, SHARDS = 142_210 / 19_994, 40, 20, 16
HEIGHT, WIDTH = 480, 640
CHUNK = 64  # images appended at once
KINDS = ("expressions", "responses", "pseudo_labels", "proposals")
OPENING, READING, DISK, PLANNING = 1.0, 10.0, 2000.0, 10.0  # s, ms, MB, s allowed
FLAT = 1.15


@dataclass(frozen=True)
class Cost:
    """What one number of images costs: s, ms, MB, MiB, s."""

    images: int
    opening: float
    reading: float
    disk: float
    memory: float
    planning: float


def rows(*, images: int, reads: int) -> list[Row]:
    """The costs of all images against what is allowed, and the memory against a quarter."""
    quarter, whole = (cost(size, reads) for size in (images // 4, images))
    return [
        allowed(f"{images} images: opening the slowest table", whole.opening, OPENING, "s"),
        allowed(f"{images} images: rows of one image", whole.reading, READING, "ms"),
        allowed(f"{images} images: all tables on disk", whole.disk, DISK, "MB"),
        allowed(f"{images} images: planning the workflow", whole.planning, PLANNING, "s"),
        Row(
            claim=f"memory of going through the tables: {quarter.images} images, against {images}",
            ours=quarter.memory,
            alternative=whole.memory,
            unit="MiB",
            ratio=whole.memory / quarter.memory,
            at_most=FLAT,
        ),
    ]


def allowed(claim: str, ours: float, limit: float, unit: str) -> Row:
    return Row(f"{claim}, against what is allowed", ours, limit, unit, limit / ours, at_least=1)


def cost(images: int, reads: int) -> Cost:
    """Generate the tables of so many images and measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, images)
        chosen = np.random.default_rng(0).integers(images, size=reads)
        readings = []
        for kind in KINDS:
            with TableReader(table(folder, kind), kind=kind) as reader:
                readings.append(statistics.median(seconds(reader.image, int(i)) for i in chosen))
        return Cost(
            images,
            opening=max(seconds(lambda kind=kind: opened(folder, kind)) for kind in KINDS),
            reading=1000 * max(readings),
            disk=sum(table(folder, kind).stat().st_size for kind in KINDS) / 1e6,
            memory=walking_memory(folder),
            planning=planning(folder / "clone", images),
        )


def table(folder: Path, kind: str) -> Path:
    return folder / f"{kind}.parquet"


def opened(folder: Path, kind: str) -> None:
    TableReader(table(folder, kind), kind=kind).close()


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Processor time of a call in this process."""
    begun = time.process_time()
    call(*arguments)
    return time.process_time() - begun


def generate(folder: Path, images: int) -> None:
    """All tables; nothing is held longer than for a chunk of images."""
    rng = np.random.default_rng(0)
    lengths = mask_lengths(rng)
    for kind in KINDS:
        path = table(folder, kind)
        with table_writer(path, kind=kind, config_digest="scale") as writer:
            for ids in np.array_split(np.arange(images), -(-images // CHUNK)):
                writer.append(columns(kind, ids, lengths, rng))


def columns(
    kind: str, ids: np.ndarray, lengths: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """The rows of some images of one table."""
    if kind == "proposals":
        image_id = np.repeat(ids, PROPOSALS)
        rank = np.tile(np.arange(PROPOSALS), len(ids))
        masks = noise(len(image_id), lengths, rng)
        return {
            **{"dataset": ["refcoco"] * len(rank), "image_id": image_id, "rank": rank},
            **{"rle": masks, "height": np.full(len(rank), HEIGHT)},
            **{"width": np.full(len(rank), WIDTH), "area": rng.integers(1, 99_999, len(rank))},
            "score": rng.random(len(rank)),
        }
    bounds = np.round(np.append(ids, ids[-1] + 1) * EXPRESSIONS).astype(int)
    sent_id = np.arange(bounds[0], bounds[-1])
    count = len(sent_id)
    keys: dict[str, Any] = {
        **{"dataset": ["refcoco"] * count, "split": ["train"] * count},
        **{"image_id": np.repeat(ids, np.diff(bounds)), "ref_id": sent_id * 50_000 // 142_210},
        "sent_id": sent_id,
    }
    if kind == "expressions":
        texts = [f"the {number:x} thing on the {number % 97}th side" for number in sent_id]
        return {**keys, "raw": texts, "sentence": texts}
    if kind == "responses":
        maps = rng.standard_normal((count, CELLS, CELLS)).astype("<f2")
        sizes = np.full(count, CELLS)
        return {**keys, "height": sizes, "width": sizes, "map": [one.tobytes() for one in maps]}
    return {
        **{**keys, "rle": noise(count, lengths, rng), "height": np.full(count, HEIGHT)},
        **{"width": np.full(count, WIDTH), "source": ["mean"] * count, "score": rng.random(count)},
    }


def mask_lengths(rng: np.random.Generator) -> np.ndarray:
    """Bytes of the run lengths of a hundred shapes with wavy outlines, 30 to 440 pixels across."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.arange(2, 9)[:, None, None]
    found = []
    for _ in range(100):
        top, left = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
        angle = np.arctan2(rows - top, columns - left)
        heights, starts = rng.normal(0, 0.08, waves.shape), rng.uniform(0, 6, waves.shape)
        wavy = 1 + (heights * np.cos(waves * angle + starts)).sum(axis=0)
        radius = np.exp(rng.uniform(np.log(15), np.log(220)))
        found.append(len(rle_encode(np.hypot(rows - top, columns - left) < radius * wavy)))
    return np.array(found)


def noise(count: int, lengths: np.ndarray, rng: np.random.Generator) -> list[bytes]:
    """Bytes that cannot be compressed, of random ones of the lengths."""
    return [rng.bytes(int(length)) for length in rng.choice(lengths, count)]


def walk(folder: Path) -> Iterator[int]:
    """Every image with its maps and proposals, as the refiners read them."""
    for kind in ("responses", "proposals"):
        with TableReader(table(folder, kind), kind=kind) as reader:
            for _, found in reader.images():
                yield len(found)


def walking_memory(folder: Path) -> float:
    """Peak memory (MiB) of a process of its own that walks."""
    code = (
        "import sys; from pathlib import Path; from benchmarks import peak, scale; "
        "sum(scale.walk(Path(sys.argv[1]))); print(peak.peak_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def planning(clone: Path, images: int) -> float:
    """Seconds of planning a run on a folder with so many pictures."""
    for name in ("pipeline", "profiles", "envs"):
        shutil.copytree(ROOT / name, clone / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, clone / name)
    pictures = clone / "data" / "images"
    pictures.mkdir(parents=True)
    for image in range(images):
        (pictures / f"{image}.jpg").touch()
    overlay = {
        "dataset": {"source": "folder", "folder": "data"},
        "machine": {"shards": SHARDS},
    }
    (clone / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    environment = {key: value for key, value in os.environ.items() if key != "SNAKEMAKE_PROFILE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*(sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"),
         *("--configfile", "overlay.yaml")],
        cwd=clone, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def draw(costs: list[Cost], path: Path) -> None:
    """Each cost against the number of images, beside what is allowed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [
        ("opening", "opening the slowest table (s)", OPENING),
        ("reading", "rows of one image (ms)", READING),
        ("disk", "all tables on disk (MB)", DISK),
        ("memory", "memory of going through them (MiB)", None),
        ("planning", "planning the workflow (s)", PLANNING),
    ]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(15, 2.8), layout="constrained")
    for axis, (name, title, limit) in zip(axes, panels, strict=True):
        values = [getattr(one, name) for one in costs]
        axis.plot([one.images for one in costs], values, marker="o")
        note = "" if limit is None else f"\nallowed: {limit:g}"
        axis.set(title=f"{title}{note}", xlabel="images")
        axis.set(xlim=(0, None), ylim=(0, 1.2 * max(values)))
        axis.title.set_size(9)
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    sizes = [FULL["images"] // part for part in (16, 4, 2, 1)]
    draw([cost(size, FULL["reads"]) for size in sizes], Path(sys.argv[1]))
