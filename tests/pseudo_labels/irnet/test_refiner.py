"""IRNet in the list of refiners."""

from __future__ import annotations

import numpy as np

from pipeline.pseudo_labels import Prms, refine_image
from pipeline.pseudo_labels.irnet import Irnet
from tests.pseudo_labels.irnet.test_instances import rule
from tests.pseudo_labels.irnet.test_network import network
from tests.pseudo_labels.scenes import NO_PROPOSALS, state, two_discs


def irnet() -> Irnet:
    return Irnet(network=network(), rule=rule(exp_times=4), device="cpu")


def test_each_sentence_or_what_prms_left() -> None:
    image, red, green = two_discs(50, 61)
    before = [state(red * 1.0, red * 0.5), state(green * 1.0, ref_id=6)]
    after = refine_image(image, before, NO_PROPOSALS, [irnet()])
    for old, new in zip(before, after, strict=True):
        assert new.mask is not None and new.mask.shape == new.soft.shape == old.soft.shape
        assert new.source == ("map/irnet",) * len(old.sent_ids)
        assert (new.soft.max(axis=(1, 2)) > 0.5).all() and new.soft.max() <= 1 + 1e-6
        assert np.array_equal(new.maps, old.maps)
    prms = Prms(combine="mean", critic=None, batch_size=1, device="cpu")
    joined = refine_image(image, before, NO_PROPOSALS, [prms, irnet()])
    assert [found.soft.shape for found in joined] == [(1, 50, 61), (1, 50, 61)]
    assert all(found.source[0].endswith("/irnet") for found in joined)


def test_a_referent_does_not_depend_on_the_others() -> None:
    image, red, green = two_discs()
    both = refine_image(image, [state(red * 1.0), state(green * 1.0)], NO_PROPOSALS, [irnet()])
    alone = refine_image(image, [state(green * 1.0)], NO_PROPOSALS, [irnet()])
    np.testing.assert_allclose(both[1].soft, alone[0].soft, atol=1e-6)


def test_no_referent_and_a_map_of_zeros() -> None:
    image, red, _ = two_discs()
    assert refine_image(image, [], NO_PROPOSALS, [irnet()]) == []
    empty, full = refine_image(image, [state(red * 0.0), state(red * 1.0)], NO_PROPOSALS, [irnet()])
    assert not empty.label(0)[0].any() and empty.label(0)[2] == 0.0
    assert full.label(0)[0].any()
