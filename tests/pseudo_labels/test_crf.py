"""The dense CRF against the library's own inference, and on pictures with real edges."""

import numpy as np
import pytest
from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_labels

from pipeline.pseudo_labels import Crf, CrfKernels, refine_image
from pipeline.pseudo_labels.crf import PairwiseField, unary_logits
from tests.pseudo_labels.scenes import NO_PROPOSALS, disc, iou, state, two_discs

KERNELS = CrfKernels(
    gaussian_sxy=3, gaussian_compat=3, bilateral_sxy=50, bilateral_srgb=5, bilateral_compat=10
)


def crf(
    iterations: int = 10,
    unary: str = "labels",
    threshold: float = 0.5,
    keep_probability: bool = True,
) -> Crf:
    return Crf(
        iterations=iterations,
        kernels=KERNELS,
        unary=unary,  # type: ignore[arg-type]
        gt_prob=0.7,
        threshold=threshold,
        keep_probability=keep_probability,
    )


def textbook(image: np.ndarray, labels: np.ndarray, iterations: int) -> np.ndarray:
    """A new two-label field for one label map, as IRNet and TRIS call the library."""
    height, width = labels.shape
    field = DenseCRF2D(width, height, 2)
    unary = unary_from_labels(labels.astype(int), 2, 0.7, zero_unsure=False)
    field.setUnaryEnergy(np.ascontiguousarray(unary))
    field.addPairwiseGaussian(sxy=3, compat=3)
    field.addPairwiseBilateral(sxy=50, srgb=5, rgbim=np.ascontiguousarray(image), compat=10)
    return np.array(field.inference(iterations))[1].reshape(height, width)


def labels_of(image: np.ndarray, count: int) -> np.ndarray:
    """Discs at different places, one map each."""
    height, width = image.shape[:2]
    rng = np.random.default_rng(2)
    places = rng.random((count, 2)) * (height, width)
    return np.stack([disc(height, width, y, x, 9) for y, x in places])


@pytest.mark.parametrize("iterations", [0, 1, 10])
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_all_maps_together_equal_the_librarys_inference_one_by_one(
    count: int, iterations: int
) -> None:
    image, _, _ = two_discs()
    labels = labels_of(image, count)
    logits = unary_logits(labels.astype(np.float32), gt_prob=0.7, threshold=0.5)
    found = PairwiseField(image, kernels=KERNELS).infer(logits, iterations=iterations)
    expected = np.stack([textbook(image, one, iterations) for one in labels])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert ((found > 0.5) == (expected > 0.5)).all()


def test_a_used_field_equals_a_new_one_bit_for_bit() -> None:
    image, _, _ = two_discs()
    logits = unary_logits(labels_of(image, 6).astype(np.float32), gt_prob=0.7, threshold=0.5)
    used = PairwiseField(image, kernels=KERNELS)
    used.infer(-logits[:5], iterations=7)
    used.infer(logits[2:3], iterations=3)
    new = PairwiseField(image, kernels=KERNELS)
    assert np.array_equal(used.infer(logits, iterations=10), new.infer(logits, iterations=10))


def test_a_blurred_disc_gets_the_edge_of_the_picture() -> None:
    image, red, _ = two_discs()
    rows, columns = np.mgrid[: red.shape[0], : red.shape[1]]
    blurred = np.exp(-((rows - 26) ** 2 + (columns - 14) ** 2) / (2 * 8.0**2))
    before = iou(blurred > 0.5, red)
    labels = refine_image(image, [state(blurred)], NO_PROPOSALS, [crf()])[0]
    soft = refine_image(image, [state(blurred)], NO_PROPOSALS, [crf(unary="soft")])[0]
    assert before < 0.7
    assert iou(labels.label(0)[0], red) > 0.95
    assert iou(soft.label(0)[0], red) > 0.95


def test_labels_come_from_the_mask_if_there_is_one() -> None:
    image, red, green = two_discs()
    split = state(red * 1.0).after("chosen", mask=green[None])
    found = refine_image(image, [split], NO_PROPOSALS, [crf()])[0]
    assert iou(found.label(0)[0], green) > 0.95
    of_evidence = refine_image(image, [split], NO_PROPOSALS, [crf(unary="soft")])[0]
    assert iou(of_evidence.label(0)[0], red) > 0.95


def test_the_threshold_moves_the_labels() -> None:
    image, red, green = two_discs()
    both = red * 1.0 + green * 0.4
    low, high = (
        refine_image(image, [state(both)], NO_PROPOSALS, [crf(threshold=t)])[0].label(0)[0]
        for t in (0.3, 0.5)
    )
    assert iou(low, red | green) > 0.9 and iou(high, red) > 0.9


def test_probability_is_kept_on_request() -> None:
    image, red, _ = two_discs()
    before = state(red * 0.9)
    kept = refine_image(image, [before], NO_PROPOSALS, [crf()])[0]
    left = refine_image(image, [before], NO_PROPOSALS, [crf(keep_probability=False)])[0]
    assert kept.mask is not None and left.mask is not None
    assert np.array_equal(kept.mask, left.mask)
    assert np.array_equal(kept.mask, kept.soft > 0.5)
    assert np.array_equal(left.soft, before.soft)
    assert np.array_equal(kept.maps, before.maps)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 3)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_maps_stay_so_at_any_size(shape: tuple[int, int], value: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = refine_image(image, [state(np.full(shape, value))], NO_PROPOSALS, [crf()])[0]
    assert (found.label(0)[0] == bool(value)).all()
    assert np.isfinite(found.soft).all()


def test_unary_runs_through_its_three_points() -> None:
    values = np.array([[[0.0, 0.2, 0.4, 0.7, 1.0]]], dtype=np.float32)
    logits = unary_logits(values, gt_prob=0.8, threshold=0.4)
    expected = np.array([0.2, 0.35, 0.5, 0.65, 0.8])
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[0, 0])), expected, rtol=1e-6)
