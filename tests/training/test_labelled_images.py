"""Crops of pictures and their labels: together, in order, and from their number alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.pseudo_labels.irnet.losses import IGNORE
from pipeline.records import ImageRecord
from pipeline.safety import InputError
from pipeline.training.labelled_images import LabelledImageBatches
from tests.training.tiny import WordEncoder, image_records


def read_image(record: ImageRecord) -> NDArray[np.uint8]:
    """Left half dark, right half bright, and the image's number in the green channel."""
    pixels = np.zeros((record.height, record.width, 3), dtype=np.uint8)
    pixels[:, record.width // 2 :, 0] = 200
    pixels[..., 1] = record.image_id
    return pixels


def read_labels(record: ImageRecord) -> NDArray[np.uint8]:
    return (read_image(record)[..., 0] > 0).astype(np.uint8)


def source(**changes: Any) -> LabelledImageBatches:
    settings: dict[str, Any] = {
        "read_image": read_image,
        "read_labels": read_labels,
        "encoder": WordEncoder(),
        "size": (24, 40),
        "scales": (0.5, 1.5),
        "batch_size": 3,
        "seed": 0,
    }
    images = changes.pop("images", image_records(8))
    return LabelledImageBatches(images, **(settings | changes))


def red(images: torch.Tensor) -> torch.Tensor:
    """The red channel in 0..1, as it was before it was normalised."""
    return images[:, 0] * WordEncoder.std[0] + WordEncoder.mean[0]


def test_labels_follow_their_pixels() -> None:
    batch = source().batch(0, 0, 1)
    assert batch.images.shape[1:] == (3, 24, 40) and batch.labels.shape[1:] == (24, 40)
    assert batch.images.dtype == torch.float32 and batch.labels.dtype == torch.int64
    bright, dark = batch.labels == 1, batch.labels == 0
    assert bright.any() and dark.any()
    found = red(batch.images)
    # resized edges are soft: a pixel or so of the border may be between
    assert (found[bright] > 0.3).float().mean() > 0.95
    assert (found[dark] < 0.4).float().mean() > 0.95


def test_what_lies_outside_an_image_is_ignored_and_of_the_mean_colour() -> None:
    batch = source(scales=(0.5, 0.5)).batch(0, 0, 1)
    outside = batch.labels == IGNORE
    assert outside.sum(dim=(1, 2)).tolist() == [24 * 40 - 16 * 16] * len(batch.images)
    assert (batch.images.permute(0, 2, 3, 1)[outside] == 0).all()
    assert not (source(size=(8, 8)).batch(0, 0, 1).labels == IGNORE).any()


def test_an_epoch_shows_every_image_once_mirrored_or_not() -> None:
    made = source(scales=(1, 1), size=(32, 32))
    assert len(made) == 3
    mirrored = set()
    for epoch in range(2):
        batches = [made.batch(number + 3 * epoch, 0, 1) for number in range(3)]
        assert sorted(i for b in batches for i in b.image_ids.tolist()) == list(range(8))
        mirrored |= {bool(image[0, 0]) for batch in batches for image in batch.labels}
    assert mirrored == {False, True}


def test_a_batch_is_a_function_of_its_number_alone() -> None:
    whole = list(source().stream(start=0, stop=6, rank=0, world=1))
    late = next(source(images=image_records(8)[::-1]).stream(start=4, stop=5, rank=0, world=1))
    assert torch.equal(whole[4].images, late.images) and torch.equal(whole[4].labels, late.labels)
    assert not torch.equal(whole[4].image_ids, whole[1].image_ids)
    halves = [source().batch(4, rank, 2) for rank in range(2)]
    assert sum(len(half.images) for half in halves) == len(late.images)
    assert torch.equal(halves[1].images, late.images[1::2])
    assert source(seed=1).batch(4, 0, 1).image_ids.tolist() != late.image_ids.tolist()


@pytest.mark.parametrize("count", [1, 19])
def test_any_number_of_images(count: int) -> None:
    made = source(images=image_records(count))
    shown = [i for n in range(len(made)) for i in made.batch(n, 0, 1).image_ids.tolist()]
    assert sorted(shown) == list(range(count))
    assert [image.shape for image in made.whole()] == [(1, 3, 32, 32)] * count


def test_what_is_wrong_is_told() -> None:
    with pytest.raises(InputError, match="no images"):
        source(images=[])
    with pytest.raises(InputError, match="fewer images than the 4 processes"):
        source().batch(0, 3, 4)
    with pytest.raises(InputError, match=r"labels of \(2, 2\) for pixels of \(32, 32\)"):
        source(read_labels=lambda record: np.zeros((2, 2), np.uint8)).batch(0, 0, 1)
