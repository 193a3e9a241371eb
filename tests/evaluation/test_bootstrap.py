"""Intervals over images: against a plain loop, their coverage, and the cases without spread."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipeline.evaluation.bootstrap import bootstrap, image_sums
from pipeline.metrics import Ratio, mean, overall_iou


def clustered(rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Values of 1 to 6 expressions an image that share the image's own level; true mean 0.5."""
    counts = rng.integers(1, 7, images)
    index = np.repeat(np.arange(images), counts)
    level = rng.normal(0.5, 0.2, images)
    return level[index] + rng.normal(0, 0.05, len(index)), index


def test_sums_of_each_image(rng: np.random.Generator) -> None:
    values, images = clustered(rng, 9)
    numerators, denominators = image_sums([mean(values)], images)
    for image in range(9):
        assert numerators[image, 0] == pytest.approx(values[images == image].sum())
        assert denominators[image, 0] == (images == image).sum()


def test_agrees_with_a_loop_over_drawn_images() -> None:
    values, images = clustered(np.random.default_rng(1), 40)
    found = bootstrap([mean(values)], images, resamples=500, rng=np.random.default_rng(3))[0]
    rng = np.random.default_rng(3)
    drawn = []
    for _ in range(500):
        rows = np.concatenate([np.flatnonzero(images == k) for k in rng.integers(40, size=40)])
        drawn.append(100 * values[rows].mean())
    assert found == pytest.approx(np.percentile(drawn, [2.5, 97.5]))


def test_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    covered = naive = 0
    for _ in range(300):
        values, images = clustered(rng, 50)
        low, high = bootstrap([mean(values)], images, resamples=400, rng=rng)[0]
        covered += low <= 50 <= high
        low, high = bootstrap([mean(values)], np.arange(len(values)), resamples=400, rng=rng)[0]
        naive += low <= 50 <= high
    assert 0.90 <= covered / 300 <= 0.985
    # Drawing expressions as if they were independent promises too much.
    assert naive / 300 < 0.85


def test_an_interval_holds_its_value_and_shrinks_with_more_images(
    rng: np.random.Generator,
) -> None:
    widths = []
    for count in (30, 3000):
        values, images = clustered(rng, count)
        low, high = bootstrap([mean(values)], images, resamples=500, rng=rng)[0]
        assert low < mean(values).percent() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_ratios_are_resampled_as_ratios() -> None:
    """Whatever is drawn, oIoU of images that all have 1/4 is 1/4."""
    union = np.array([4.0, 8.0, 400.0])
    found = bootstrap(
        [overall_iou(union / 4, union)],
        np.arange(3),
        resamples=50,
        rng=np.random.default_rng(0),
    )
    assert found[0] == pytest.approx([25, 25])


def test_all_ratios_share_their_draws_and_a_seed_repeats_them(rng: np.random.Generator) -> None:
    values, images = clustered(rng, 20)
    one, other, third = (
        bootstrap([mean(values), mean(1 - values)], images, resamples=200, rng=generator)
        for generator in map(np.random.default_rng, (5, 5, 6))
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)
    assert one[1] == pytest.approx(100 - one[0][::-1])


def test_chunks_do_not_change_the_draws(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, images = clustered(rng, 20)
    whole = bootstrap([mean(values)], images, resamples=100, rng=np.random.default_rng(0))
    monkeypatch.setattr("pipeline.evaluation.bootstrap._ENTRIES", 20 * 7)
    assert np.array_equal(
        bootstrap([mean(values)], images, resamples=100, rng=np.random.default_rng(0)), whole
    )


def test_one_image_has_no_interval(rng: np.random.Generator) -> None:
    found = bootstrap([mean([0.2, 0.4])], np.array([3, 3]), resamples=100, rng=rng)
    assert np.isnan(found).all()


def test_no_resamples_no_interval(rng: np.random.Generator) -> None:
    found = bootstrap([mean([0.2, 0.4])], np.array([3, 4]), resamples=0, rng=rng)
    assert np.isnan(found).all()


def test_a_group_that_few_images_hold_is_measured_where_it_is_drawn(
    rng: np.random.Generator,
) -> None:
    rare = Ratio(np.array([1.0, 0.5] + [0.0] * 8), np.array([1.0, 1.0] + [0.0] * 8))
    alone = Ratio(np.array([1.0] + [0.0] * 9), np.array([1.0] + [0.0] * 9))
    found = bootstrap([rare, alone], np.arange(10), resamples=500, rng=rng)
    assert found[0] == pytest.approx([50, 100])
    assert np.isnan(found[1]).all()


def test_1500_expressions_take_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    ratios = [mean(rng.random(1500)) for _ in range(100)]
    start = time.process_time()
    bootstrap(ratios, rng.integers(0, 500, 1500), resamples=1000, rng=rng)
    assert time.process_time() - start < 1
