"""States, normalised maps, and lists of refiners."""

import numpy as np
import pytest

from pipeline.pseudo_labels import (
    REFINERS,
    Crf,
    CrfKernels,
    Exclusion,
    Irnet,
    Prms,
    ProposalSnap,
    ReferentState,
    Refiner,
    SamPrompt,
    Threshold,
    normalised_maps,
    refine_image,
    refine_images,
)
from pipeline.safety import InputError
from tests.pseudo_labels.scenes import NO_PROPOSALS, disc, iou, state, two_discs

MEAN = Prms(combine="mean", critic=None, batch_size=4, device="cpu")
CRF = Crf(
    iterations=5,
    kernels=CrfKernels(3, 3, 50, 5, 10),
    unary="labels",
    gt_prob=0.7,
    threshold=0.5,
    keep_probability=True,
)
SNAP = ProposalSnap(target="soft", minimum_gain=0.0, threshold=0.5)


def test_normalised_maps_are_relu_bilinear_and_maximum_one() -> None:
    responses = np.array([[[-4.0, 2], [0, 1]], [[-1, -2], [-3, 0]]], dtype=np.float16)
    maps = normalised_maps(responses, height=4, width=6)
    assert maps.shape == (2, 4, 6) and maps.dtype == np.float32
    assert maps[0].max() == 1 and maps[0].min() == 0
    assert maps[0, 0, 5] == 1 and maps[0, 3, 5] == 0.5  # the corners keep the cells' values
    assert maps[0, 0, 0] == 0  # -4 was cut before it could pull its neighbours down
    assert 0 < maps[0, 0, 2] < maps[0, 0, 3] < 1
    assert (maps[1] == 0).all()


def test_a_state_needs_one_map_and_text_a_sentence() -> None:
    with pytest.raises(InputError, match="referent 7"):
        ReferentState.start(
            ref_id=7, sent_ids=(1, 2), texts=("a", "b"), maps=np.zeros((1, 2, 2), np.float32)
        )
    with pytest.raises(InputError, match="referent 7"):
        ReferentState.start(ref_id=7, sent_ids=(), texts=(), maps=np.zeros((0, 2, 2), np.float32))


def test_a_list_without_masks_says_so() -> None:
    with pytest.raises(InputError, match="no step of the list makes a mask"):
        state(np.ones((3, 3))).label(0)


def test_labels_of_own_and_of_shared_masks() -> None:
    maps = np.zeros((2, 2, 4))
    maps[0, :, :2], maps[1, :, 3] = 0.5, 1
    own = refine_image(
        np.zeros((2, 4, 3), np.uint8),
        [state(*maps)],
        NO_PROPOSALS,
        [Threshold(threshold="positive")],
    )[0]
    assert [own.label(k)[0].sum() for k in (0, 1)] == [4, 2]
    assert own.label(0)[1:] == ("map/threshold", 0.5)
    shared = refine_image(
        np.zeros((2, 4, 3), np.uint8),
        [state(*maps)],
        NO_PROPOSALS,
        [MEAN, Threshold(threshold=0.6)],
    )[0]
    assert (shared.label(0)[0] == shared.label(1)[0]).all()
    assert shared.label(1)[0].sum() == 2  # the mean is 1/4 and 1/2, divided by its maximum
    assert shared.label(1)[1:] == ("map/prms:mean/threshold", 1.0)


def test_an_empty_map_gives_an_empty_mask_from_every_step() -> None:
    image, red, green = two_discs()
    nothing = np.zeros(red.shape)
    proposals = np.stack([red, green])
    for steps in (
        [Threshold(threshold="positive")],
        [Threshold(threshold=0.3)],
        [CRF],
        [SNAP],
        [MEAN, CRF, SNAP],
        [MEAN, SNAP, CRF],
    ):
        found = refine_image(image, [state(nothing, nothing)], proposals, steps)[0]
        for sentence in (0, 1):
            mask, _, score = found.label(sentence)
            assert not mask.any() and score == 0


def test_thresholds() -> None:
    maps = np.array([[0.0, 0.2, 0.5, 1.0]])[None]
    image = np.zeros((1, 4, 3), np.uint8)

    def mask(threshold: object) -> list[bool]:
        step = Threshold(threshold=threshold)  # type: ignore[arg-type]
        return refine_image(image, [state(*maps)], NO_PROPOSALS, [step])[0].label(0)[0][0].tolist()

    assert mask("positive") == [False, True, True, True]
    assert mask(0.2) == [False, False, True, True]
    half = maps * np.float32(0.5)
    step = Threshold(threshold=0.5)  # of the map's own maximum
    found = refine_image(image, [state(*half)], NO_PROPOSALS, [step])[0]
    assert found.label(0)[0][0].tolist() == [False, False, False, True]


def test_the_order_of_the_list_matters() -> None:
    image, red, _ = two_discs()
    blurred = disc(*red.shape, 24, 18, 13).astype(float)
    square = np.zeros_like(red)
    square[14:34, 6:26] = True
    proposals = square[None]
    snap = ProposalSnap(target="soft", minimum_gain=-1.0, threshold=0.5)
    snapped_last = refine_image(image, [state(blurred)], proposals, [CRF, snap])[0]
    crf_last = refine_image(image, [state(blurred)], proposals, [snap, CRF])[0]
    assert (snapped_last.label(0)[0] == square).all()
    assert iou(crf_last.label(0)[0], red) > 0.95 > iou(square, red)
    assert snapped_last.source == ("map/crf:labels/snap:0",)
    assert crf_last.source == ("map/snap:0/crf:labels",)


def test_new_evidence_takes_an_old_mask_away() -> None:
    maps = np.eye(4)[:2].reshape(2, 2, 2)
    image = np.zeros((2, 2, 3), np.uint8)
    found = refine_image(image, [state(*maps)], NO_PROPOSALS, [Threshold(threshold=0.5), MEAN])[0]
    assert found.mask is None and len(found.soft) == 1


def test_steps_leave_earlier_states_and_inputs_alone() -> None:
    image, red, green = two_discs()
    before = state(red * 0.8, green * 0.4)
    copies = image.copy(), before.maps.copy()
    for array in (image, before.maps):
        array.flags.writeable = False
    refine_image(image, [before], np.stack([red]), [Threshold(threshold=0.5), MEAN, CRF, SNAP])
    assert (image == copies[0]).all() and (before.maps == copies[1]).all()
    assert before.mask is None and before.source == ("map", "map")


def test_one_referent_or_many_and_one_image_or_many() -> None:
    image, red, green = two_discs()
    steps: list[Refiner] = [MEAN, CRF, SNAP]
    proposals = np.stack([red, green])
    first, second = state(red * 1.0, red * 0.6, ref_id=1), state(green * 0.9, ref_id=2)
    other = image[:, ::-1].copy()
    mirrored = proposals[:, :, ::-1].copy()
    together = refine_images(
        [image, other], [[first, second], [first]], [proposals, mirrored], steps
    )
    alone = [
        *refine_image(image, [first, second], proposals, steps),
        *refine_image(other, [first], mirrored, steps),
    ]
    assert [s.ref_id for s in together[0]] == [1, 2]
    for got, expected in zip([*together[0], *together[1]], alone, strict=True):
        assert got.ref_id == expected.ref_id and got.source == expected.source
        assert np.array_equal(got.soft, expected.soft)
        assert got.mask is not None and expected.mask is not None
        assert np.array_equal(got.mask, expected.mask)
    assert refine_image(image, [], proposals, steps) == []


def test_the_registry_has_every_step() -> None:
    assert {
        "prms": Prms,
        "exclusion": Exclusion,
        "irnet": Irnet,
        "threshold": Threshold,
        "crf": Crf,
        "proposal_snap": ProposalSnap,
        "sam_prompt": SamPrompt,
    } == REFINERS
