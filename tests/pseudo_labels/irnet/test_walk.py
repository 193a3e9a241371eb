"""The sparse walk against its dense definition, and what the definition implies."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest

from pipeline.pseudo_labels.irnet.paths import paths_within
from pipeline.pseudo_labels.irnet.walk import RandomWalk, neighbourhood, walk_coefficients
from tests.pseudo_labels.irnet.grids import dense_walk, picture_edges

PUBLISHED = {"radius": 5, "beta": 10.0}


def maps_like(edge: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *edge.shape)).astype(np.float32) ** 4


def test_paths_are_those_of_the_definition() -> None:
    offsets = {(path.down, path.right) for path in paths_within(5)}
    assert len(offsets) == len(paths_within(5)) == 34
    assert (0, 4) in offsets and (3, -3) in offsets and (4, 3) not in offsets
    straight, diagonal, bent = (
        next(path for path in paths_within(5) if (path.down, path.right) == offset)
        for offset in ((0, 3), (2, -2), (1, 2))
    )
    assert set(straight.cells) == {(0, 0), (0, 1), (0, 2), (0, 3)}
    # the neighbours of a diagonal lie 0.71 cells away from it
    assert set(diagonal.cells) == {(y, -x) for y in range(3) for x in range(3) if abs(x - y) < 2}
    assert set(bent.cells) == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equal_to_the_dense_walk_on_edges_of_pictures(seed: int) -> None:
    edge = picture_edges(seed, crop=(20, 24))
    maps = maps_like(edge, 3)
    expected = dense_walk(maps, edge, exp_times=8, **PUBLISHED)
    walk = RandomWalk(edge, **PUBLISHED)
    for tolerance, cell_by_cell in ((0.0, 1e-5), (1e-8, 1e-5), (1e-6, 1e-4)):
        found = walk.spread(maps, exp_times=8, tolerance=tolerance)
        assert found.dtype == np.float32
        scale = expected.max(axis=(1, 2), keepdims=True)
        assert (abs(found - expected) / scale).max() < 1e-5
        np.testing.assert_allclose(found, expected, rtol=cell_by_cell)


@pytest.mark.parametrize("exp_times", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 2), (6, 5)])
def test_any_size_and_number_of_steps(shape: tuple[int, int], exp_times: int) -> None:
    edge = np.random.default_rng(4).random(shape, dtype=np.float32)
    maps = maps_like(edge, 2)
    expected = dense_walk(maps, edge, exp_times=exp_times, radius=4, beta=3.0)
    found = RandomWalk(edge, radius=4, beta=3.0).spread(maps, exp_times=exp_times, tolerance=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_maps_go_together_as_they_go_alone() -> None:
    edge = picture_edges(3)
    maps = maps_like(edge, 5)
    walk = RandomWalk(edge, **PUBLISHED)
    together = walk.spread(maps, exp_times=8, tolerance=1e-8)
    alone = [walk.spread(one[None], exp_times=8, tolerance=1e-8)[0] for one in maps]
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-5)
    assert walk.spread(maps[:0], exp_times=8, tolerance=1e-8).shape == (0, 32, 32)


def test_without_edges_a_walk_evens_out_and_a_wall_holds_it() -> None:
    edge = np.zeros((12, 21), dtype=np.float32)
    left = np.zeros((1, 12, 21), dtype=np.float32)
    left[:, :, :5] = 1
    spread = RandomWalk(edge, radius=5, beta=10).spread(left, exp_times=12, tolerance=1e-6)
    assert spread.std() < 1e-3 * spread.mean()
    edge[:, 10] = 1
    walled = RandomWalk(edge, radius=5, beta=10).spread(left, exp_times=12, tolerance=1e-6)
    assert walled[0, :, :10].min() > 0.3
    assert walled[0, :, 10:].max() < 1e-6
    # what is evenly one stays one, but for the wall's own cells
    ones = RandomWalk(edge, radius=5, beta=10).spread(left * 0 + 1, exp_times=8, tolerance=0)
    np.testing.assert_allclose(ones[0, :, :10], 1, rtol=1e-4)
    assert (ones[0, :, 10] == 0).all()


@pytest.mark.parametrize("steps", [1, 2, 7, 64, 256])
@pytest.mark.parametrize("tolerance", [0.0, 1e-8, 1e-3])
def test_the_polynomial_keeps_its_bound(steps: int, tolerance: float) -> None:
    kept = walk_coefficients(steps, tolerance)
    z = np.linspace(-1, 1, 2001)
    found = np.polynomial.chebyshev.chebval(z, np.array(kept))
    assert abs(found - z**steps).max() <= tolerance + 1e-12
    if tolerance == 0:
        assert len(kept) == steps + 1
    else:
        assert len(kept) < 10 * steps**0.5


def test_the_error_stays_below_the_stated_bound_where_it_is_large() -> None:
    edge = picture_edges(5, crop=(16, 16))
    maps = maps_like(edge, 1)
    walk = RandomWalk(edge, **PUBLISHED)
    cells = walk.structure.weights(walk.edge, 10.0)
    degree = np.add.reduceat(cells, walk.structure.starts[:-1]).reshape(16, 16)
    expected = dense_walk(maps, edge, exp_times=8, **PUBLISHED)
    error = walk.spread(maps, exp_times=8, tolerance=0.05) - expected
    norms = [np.sqrt((degree * x**2).sum()) for x in (error, maps * (1 - edge))]
    assert 1e-5 < norms[0] / norms[1] <= 0.05


def test_the_structure_of_a_size_is_made_once() -> None:
    first = RandomWalk(picture_edges(0), **PUBLISHED)
    second = RandomWalk(picture_edges(1), **PUBLISHED)
    assert first.structure is second.structure
    assert neighbourhood(32, 32, 4) is not first.structure


def test_time_and_memory_at_640_by_480() -> None:
    """Under 200 MB and a second of one core at stride 4: 120 x 160 cells, six expressions."""
    edge = np.tile(picture_edges(0), (4, 5))[:120]
    maps = maps_like(edge, 6)
    neighbourhood.cache_clear()
    tracemalloc.start()
    RandomWalk(edge, **PUBLISHED).spread(maps, exp_times=8, tolerance=1e-8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    times = []
    for _ in range(3):
        start = time.process_time()
        RandomWalk(edge, **PUBLISHED).spread(maps, exp_times=8, tolerance=1e-8)
        times.append(time.process_time() - start)
    print(f"{peak / 1e6:.0f} MB, {times} s")
    assert min(times) < 1
