"""IRNet's random walk takes a small part of the time and the memory of its dense form.

The edges are those of miniature pictures, side by side; cells are four pixels wide. The settings
are the paper's: radius 5, beta 10, 256 steps, for all maps of an image together.

- dense: the (n, n) transition matrix in float32, squared eight times (its making is not counted);
- single steps: 256 products with the sparse matrix;
- ours: the Chebyshev sum of `RandomWalk`, in double precision, what it leaves out below 1e-8, with
  the making of the matrix, whose structure is kept from image to image of a size.

Times are the median of processor time. Memory is the peak of what numpy holds, the kept structure
included; of the dense walk the matrix and its square. The difference is to the dense walk in double
precision on half as many cells each way, the largest over cells, relative to the cell's own value.
The last comparison, by wall-clock time, needs two idle cores.
"""

from __future__ import annotations

import multiprocessing
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.rows import Row
from benchmarks.settings import shipped
from pipeline.miniature import render, sample_scene
from pipeline.pseudo_labels.irnet import RandomWalk
from pipeline.pseudo_labels.irnet.walk import neighbourhood
from pipeline.steps.miniature import miniature_settings

FULL: dict[str, Any] = {"compared": (48, 64), "large": (120, 160), "maps": 6, "images": 24}
TINY: dict[str, Any] = {"compared": (12, 16), "large": (12, 20), "maps": 2, "images": 2}
STRIDE = 4
RADIUS, BETA, EXP_TIMES, TOLERANCE = 5, 10.0, 8, 1e-8
SECOND, MEMORY, DIFFERENCE = 1000.0, 200e6 / (1 << 20), 1e-4  # ms, MiB and share allowed
Size = tuple[int, int]
Walk = Callable[[np.ndarray, np.ndarray], np.ndarray]  # edge (h, w) and maps (R, h, w) -> maps


def rows(*, compared: Size, large: Size, maps: int, images: int) -> list[Row]:
    """Ours and dense at one size; ours, single steps and the allowed cost at another."""
    case, half, big = (
        case_of(size, maps) for size in (compared, (compared[0] // 2, compared[1] // 2), large)
    )
    own, matrix, single, whole = (
        median_time(walk, of)
        for walk, of in ((ours, case), (Dense(case), case), (single_steps, big), (ours, big))
    )
    one, two = (over_processes(big, images, count) for count in (1, 2))
    place, place_big = (f"walk of {maps} maps, {w} x {h} cells" for h, w in (compared, large))
    return [
        faster(f"{place}: sparse, against dense", own, matrix, "ms/image", 10),
        faster(f"{place}: sparse, against dense", peak(ours, case), dense_peak(case), "MiB", 4),
        faster(f"{place_big}: ours, against single steps", whole, single, "ms/image", 1.5),
        faster(f"{place_big}: time, against what is allowed", whole, SECOND, "ms/image", 1),
        faster(f"{place_big}: memory, against what is allowed", peak(ours, big), MEMORY, "MiB", 1),
        faster("walk: difference to dense, against what is allowed", difference(half), DIFFERENCE,
               "share", 1),
        faster(f"{place_big}: two processes, against one (wall clock)", two, one, "ms/image", 1.5),
    ]  # fmt: skip


def faster(claim: str, ours: float, alternative: float, unit: str, at_least: float) -> Row:
    return Row(claim, ours, alternative, unit, alternative / ours, at_least=at_least)


def case_of(size: Size, maps: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (h, w) of as many pictures as fill them, and smooth maps (R, h, w)."""
    scene = miniature_settings(shipped().miniature).scene
    side = scene.canvas // STRIDE
    edge = np.zeros((-(-size[0] // side) * side, -(-size[1] // side) * side), dtype=np.float32)
    rng = np.random.default_rng(1)
    for top in range(0, len(edge), side):
        for left in range(0, edge.shape[1], side):
            image, _ = render(sample_scene(rng, scene), rng)
            colour = ndimage.gaussian_filter(image / 255.0, (1, 1, 0))
            steps = np.sqrt(sum((ndimage.sobel(colour, axis) ** 2).sum(-1) for axis in (0, 1)))
            cells = steps.reshape(side, STRIDE, side, STRIDE).max(axis=(1, 3))
            edge[top : top + side, left : left + side] = cells / cells.max()
    noise = rng.normal(size=(maps, *size))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3))
    return edge[: size[0], : size[1]], np.maximum(smooth / smooth.max(), 0).astype(np.float32)


def ours(edge: np.ndarray, maps: np.ndarray) -> np.ndarray:
    walk = RandomWalk(edge, radius=RADIUS, beta=BETA)
    return walk.spread(maps, exp_times=EXP_TIMES, tolerance=TOLERANCE)


def single_steps(edge: np.ndarray, maps: np.ndarray) -> np.ndarray:
    transposed = RandomWalk(edge, radius=RADIUS, beta=BETA).transposed
    values = np.ascontiguousarray((maps * (1 - edge)).reshape(len(maps), -1).T, dtype=np.float64)
    for _ in range(2**EXP_TIMES):
        values = transposed @ values
    return values.T.reshape(maps.shape)


class Dense:
    """The walk by the power of the transition matrix, which is made beforehand."""

    def __init__(self, case: tuple[np.ndarray, np.ndarray], dtype: type = np.float32) -> None:
        transposed = RandomWalk(case[0], radius=RADIUS, beta=BETA).transposed
        self.matrix = transposed.toarray().astype(dtype)

    def __call__(self, edge: np.ndarray, maps: np.ndarray) -> np.ndarray:
        power = self.matrix
        for _ in range(EXP_TIMES):
            power = power @ power
        return (power @ (maps * (1 - edge)).reshape(len(maps), -1).T).T.reshape(maps.shape)


def median_time(walk: Walk, case: tuple[np.ndarray, np.ndarray]) -> float:
    """Processor milliseconds after a first walk; of three, or of one that takes seconds."""
    times: list[float] = []
    if not isinstance(walk, Dense):
        walk(*case)
    while len(times) < 3 and sum(times) < 3:
        start = time.process_time()
        walk(*case)
        times.append(time.process_time() - start)
    return 1000 * float(np.median(times))


def peak(walk: Walk, case: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest memory in MiB that a walk takes beside its input, with the kept structure."""
    neighbourhood.cache_clear()
    tracemalloc.start()
    walk(*case)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found / (1 << 20)


def dense_peak(case: tuple[np.ndarray, np.ndarray]) -> float:
    """MiB of the dense matrix and its square, which are there together."""
    return 2 * 4 * case[0].size ** 2 / (1 << 20)


def difference(case: tuple[np.ndarray, np.ndarray]) -> float:
    """Largest over cells and maps, relative to the cell's value, where it has any."""
    expected = Dense(case, np.float64)(*case)
    some = expected > 0
    return float((abs(ours(*case) - expected)[some] / expected[some]).max())


def _share(job: tuple[tuple[np.ndarray, np.ndarray], int]) -> int:
    case, images = job
    return sum(len(ours(*case)) for _ in range(images))


def over_processes(case: tuple[np.ndarray, np.ndarray], images: int, processes: int) -> float:
    """Wall-clock milliseconds an image, without starting the processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_share, [(case, 1)] * (4 * processes)))  # imports and the kept structure
        start = time.perf_counter()
        list(pool.map(_share, [(case, images // processes)] * processes))
        return 1000 * (time.perf_counter() - start) / images
