"""Claim: the dense CRF of an image's referents costs less than half when they share its kernels.

Three ways to the same masks, on pictures of the miniature:

- one build an expression: a new field for each map, as the published code does;
- one build an image: the library's two-label inference, map by map, on one field;
- all maps at once: `PairwiseField.infer`, which this project uses.

The three are compared by the median over images of processor time. The last one then runs over the
images in one process and in two, by wall-clock time: that comparison needs two idle cores.

    python benchmarks/crf_kernel.py [--images 40] [--side 128] [--iterations 10 5]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_labels
from scipy.ndimage import gaussian_filter

from pipeline.miniature import SceneSettings, render, sample_scene
from pipeline.pseudo_labels.crf import CrfKernels, PairwiseField, unary_logits

KERNELS = CrfKernels(
    gaussian_sxy=3, gaussian_compat=3, bilateral_sxy=50, bilateral_srgb=5, bilateral_compat=10
)
GT_PROB = 0.7
Case = tuple[np.ndarray, np.ndarray]  # image (H, W, 3) uint8 and label maps (R, H, W) bool


def cases(count: int, side: int) -> list[Case]:
    """Pictures with one blurred and cut label map for each of their objects."""
    settings = SceneSettings(
        canvas=side, min_objects=2, max_objects=5, distractor_share=0.65, overlap_share=0.5,
        min_visible=0.4, clutter=10, noise=0.05,
    )  # fmt: skip
    found = []
    for index in range(count):
        rng = np.random.default_rng([1, index])
        image, visible = render(sample_scene(rng, settings), rng)
        found.append((image, gaussian_filter(visible.astype(np.float32), (0, 5, 5)) > 0.3))
    return found


def field_of(image: np.ndarray) -> DenseCRF2D:
    height, width = image.shape[:2]
    field = DenseCRF2D(width, height, 2)
    field.addPairwiseGaussian(sxy=KERNELS.gaussian_sxy, compat=KERNELS.gaussian_compat)
    field.addPairwiseBilateral(
        sxy=KERNELS.bilateral_sxy,
        srgb=KERNELS.bilateral_srgb,
        rgbim=np.ascontiguousarray(image),
        compat=KERNELS.bilateral_compat,
    )
    return field


def two_label(field: DenseCRF2D, labels: np.ndarray, iterations: int) -> np.ndarray:
    unary = unary_from_labels(labels.astype(int), 2, GT_PROB, zero_unsure=False)
    field.setUnaryEnergy(np.ascontiguousarray(unary))
    return np.array(field.inference(iterations))[1].reshape(labels.shape) > 0.5


def build_each(case: Case, iterations: int) -> np.ndarray:
    image, maps = case
    return np.stack([two_label(field_of(image), labels, iterations) for labels in maps])


def build_once(case: Case, iterations: int) -> np.ndarray:
    image, maps = case
    field = field_of(image)
    return np.stack([two_label(field, labels, iterations) for labels in maps])


def all_at_once(case: Case, iterations: int) -> np.ndarray:
    image, maps = case
    logits = unary_logits(maps.astype(np.float32), gt_prob=GT_PROB, threshold=0.5)
    return PairwiseField(image, kernels=KERNELS).infer(logits, iterations=iterations) > 0.5


WAYS: dict[str, Callable[[Case, int], np.ndarray]] = {
    "one build an expression": build_each,
    "one build an image": build_once,
    "all maps at once": all_at_once,
}


def measure(pictures: list[Case], iterations: int) -> dict[str, float]:
    """Processor milliseconds an image of each way; fails if their masks differ."""
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for case in pictures:
        masks = []
        for name, way in WAYS.items():
            start = time.process_time()
            masks.append(way(case, iterations))
            times[name].append(time.process_time() - start)
        different = max(np.count_nonzero(mask != masks[0]) for mask in masks)
        assert different <= 1e-4 * masks[0].size, f"{different} pixels differ"
    return {name: 1000 * float(np.median(found)) for name, found in times.items()}


def _share(job: tuple[list[Case], int]) -> int:
    pictures, iterations = job
    return sum(len(all_at_once(case, iterations)) for case in pictures)


def measure_processes(pictures: list[Case], iterations: int, processes: int) -> float:
    """Wall-clock milliseconds an image of `all_at_once`, without starting the processes."""
    shares = [(pictures[k::processes], iterations) for k in range(processes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_share, [(pictures[:1], 1)] * (4 * processes)))  # imports and first pages
        start = time.perf_counter()
        list(pool.map(_share, shares))
        return 1000 * (time.perf_counter() - start) / len(pictures)


def table(images: int, side: int, iterations: list[int]) -> dict[int, dict[str, float]]:
    """Prints the times with their ratios and returns the times, by number of iterations."""
    pictures = cases(images, side)
    referents = np.mean([len(maps) for _, maps in pictures])
    print(f"\n{images} images of {side} px, {referents:.1f} maps an image, {os.cpu_count()} cores")
    print(f"{'iterations':>10}  {'way':<34}{'ms an image':>12}{'faster':>8}")
    found = {}
    for count in iterations:
        times = measure(pictures, count)
        base = times["one build an expression"]
        for name, value in times.items():
            print(f"{count:>10}  {name:<34}{value:>12.1f}{base / value:>7.1f}x")
        alone = measure_processes(pictures, count, 1)
        both = measure_processes(pictures, count, 2)
        for name, value in (("one process", alone), ("two processes", both)):
            label = f"... {name}, wall clock"
            print(f"{count:>10}  {label:<34}{value:>12.1f}{alone / value:>7.1f}x")
        found[count] = times
    return found


def test_sharing_kernels_and_filters_at_least_halves_the_crf() -> None:
    times = table(images=24, side=128, iterations=[10])[10]
    assert times["one build an image"] < times["one build an expression"]
    assert times["all maps at once"] < 0.5 * times["one build an expression"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--iterations", type=int, nargs="+", default=[10, 5])
    options = parser.parse_args()
    table(options.images, options.side, options.iterations)
