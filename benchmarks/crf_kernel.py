"""The dense CRF of an image's referents costs less than half when they share its kernels.

Three ways to the same masks, on pictures of the miniature with the kernels of config.yaml and its
number of iterations, and with the paper's ten:

- one build an expression: a new field for each map, as the published code does;
- one build an image: the library's two-label inference, map by map, on one field;
- all maps at once: `PairwiseField.infer`, which this project uses.

They are compared by the median over images of processor time. The last one then runs over the
images in one process and in two, by wall-clock time: that comparison needs two idle cores.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_labels
from scipy.ndimage import gaussian_filter

from benchmarks.rows import Row
from benchmarks.settings import shipped
from pipeline.miniature import SceneSettings, render, sample_scene
from pipeline.pseudo_labels.crf import CrfKernels, PairwiseField, unary_logits
from pipeline.steps.miniature import miniature_settings

FULL = {"images": 60}
TINY = {"images": 2}
PAPER_ITERATIONS = 10
EACH, ONCE, TOGETHER = "a build an expression", "a build an image", "all maps at once"
Case = tuple[np.ndarray, np.ndarray]  # image (H, W, 3) uint8 and label maps (R, H, W) bool


class Problem:
    """The CRF of the configuration, for so many iterations."""

    def __init__(self, iterations: int) -> None:
        section = shipped().pseudo_labels.crf
        self.kernels = CrfKernels(**section.kernels.model_dump())
        self.gt_prob = section.gt_prob
        self.iterations = iterations

    def field_of(self, image: np.ndarray) -> DenseCRF2D:
        """The library's two-label field with both kernels."""
        height, width = image.shape[:2]
        field = DenseCRF2D(width, height, 2)
        kernels = self.kernels
        field.addPairwiseGaussian(sxy=kernels.gaussian_sxy, compat=kernels.gaussian_compat)
        field.addPairwiseBilateral(
            sxy=kernels.bilateral_sxy,
            srgb=kernels.bilateral_srgb,
            rgbim=np.ascontiguousarray(image),
            compat=kernels.bilateral_compat,
        )
        return field

    def two_label(self, field: DenseCRF2D, labels: np.ndarray) -> np.ndarray:
        unary = unary_from_labels(labels.astype(int), 2, self.gt_prob, zero_unsure=False)
        field.setUnaryEnergy(np.ascontiguousarray(unary))
        return np.array(field.inference(self.iterations))[1].reshape(labels.shape) > 0.5

    def build_each(self, case: Case) -> np.ndarray:
        image, maps = case
        return np.stack([self.two_label(self.field_of(image), labels) for labels in maps])

    def build_once(self, case: Case) -> np.ndarray:
        image, maps = case
        field = self.field_of(image)
        return np.stack([self.two_label(field, labels) for labels in maps])

    def all_at_once(self, case: Case) -> np.ndarray:
        image, maps = case
        logits = unary_logits(maps.astype(np.float32), gt_prob=self.gt_prob, threshold=0.5)
        field = PairwiseField(image, kernels=self.kernels)
        return field.infer(logits, iterations=self.iterations) > 0.5

    def measure(self, pictures: list[Case]) -> dict[str, float]:
        """Processor milliseconds an image of each way; fails if their masks differ."""
        ways: dict[str, Callable[[Case], np.ndarray]] = {
            EACH: self.build_each,
            ONCE: self.build_once,
            TOGETHER: self.all_at_once,
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for case in pictures:
            masks = []
            for name, way in ways.items():
                start = time.process_time()
                masks.append(way(case))
                times[name].append(time.process_time() - start)
            different = max(np.count_nonzero(mask != masks[0]) for mask in masks)
            assert different <= 1e-4 * masks[0].size, f"{different} pixels differ"
        return {name: 1000 * float(np.median(found)) for name, found in times.items()}


def rows(*, images: int) -> list[Row]:
    """Milliseconds an image, each way, and over processes."""
    settings = miniature_settings(shipped().miniature).scene
    pictures = cases(images, settings)
    found: list[Row] = []
    own = shipped().pseudo_labels.crf.iterations
    for iterations in sorted({own, PAPER_ITERATIONS}):
        times = Problem(iterations).measure(pictures)
        for way, wanted in ((ONCE, 1.0), (TOGETHER, 2.0)):
            found.append(
                Row(
                    claim=f"CRF, {iterations} iterations: {way}, against {EACH}",
                    ours=times[way],
                    alternative=times[EACH],
                    unit="ms/image",
                    ratio=times[EACH] / times[way],
                    at_least=wanted,
                )
            )
    alone, both = (over_processes(pictures, own, count) for count in (1, 2))
    found.append(
        Row(
            claim=f"CRF, {own} iterations: two processes, against one (wall clock)",
            ours=both,
            alternative=alone,
            unit="ms/image",
            ratio=alone / both,
            at_least=1.5,
        )
    )
    return found


def cases(count: int, settings: SceneSettings) -> list[Case]:
    """Pictures with one blurred and cut label map for each of their objects."""
    found = []
    for index in range(count):
        rng = np.random.default_rng([1, index])
        image, visible = render(sample_scene(rng, settings), rng)
        found.append((image, gaussian_filter(visible.astype(np.float32), (0, 5, 5)) > 0.3))
    return found


def _share(job: tuple[list[Case], int]) -> int:
    pictures, iterations = job
    problem = Problem(iterations)
    return sum(len(problem.all_at_once(case)) for case in pictures)


def over_processes(pictures: list[Case], iterations: int, processes: int) -> float:
    """Wall-clock milliseconds an image of `all_at_once`, without starting the processes."""
    shares = [(pictures[k::processes], iterations) for k in range(processes)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        list(pool.map(_share, [(pictures[:1], 1)] * (4 * processes)))  # imports and first pages
        start = time.perf_counter()
        list(pool.map(_share, shares))
        return 1000 * (time.perf_counter() - start) / len(pictures)
