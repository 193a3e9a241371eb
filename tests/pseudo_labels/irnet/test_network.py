"""The network on a random encoder: what it gives, what it keeps, and that it learns."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.encoders.imagenet import ImageNetPyramid
from pipeline.pseudo_labels.irnet import EdgeDisplacementNetwork, LabelledImages, RandomWalk
from pipeline.pseudo_labels.irnet.losses import IGNORE, LOSSES
from pipeline.pseudo_labels.irnet.network import cell_labels
from pipeline.training.weights import load_weights, save_weights
from tests.encoders.small import VIT
from tests.encoders.small import encoder as other_encoder
from tests.networks import encoder
from tests.pseudo_labels.irnet.grids import dense_walk
from tests.pseudo_labels.irnet.test_instances import rule
from tests.pseudo_labels.scenes import disc, iou
from tests.training import tiny

SIDE = 64
WEIGHTS = dict(zip(LOSSES, (0.25, 0.25, 0.5, 0.5, 0.5), strict=True))


def network(seed: int = 0, **changes: Any) -> EdgeDisplacementNetwork:
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "encoder": encoder(0),
        "edge_width": 8,
        "displacement_widths": (16, 16, 16, 16),
        "fused_width": 16,
        "group_width": 8,
        "radius": 4,
    }
    return EdgeDisplacementNetwork(**(settings | changes))


def batch(first: int = 0, count: int = 4) -> LabelledImages:
    """Noisy pictures of a bright disc and a dark one on grey, and the two discs' labels."""
    images, labels = [], []
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        image, label = np.zeros((3, SIDE, SIDE)), np.zeros((SIDE, SIDE), dtype=np.int64)
        for number, shade in enumerate((-2, 2), start=1):
            middle = rng.uniform((10, 10 + 32 * (number - 1)), (54, 22 + 32 * (number - 1)))
            thing = disc(SIDE, SIDE, *middle, rng.uniform(8, 13))
            image[:, thing], label[thing] = shade, number
        image += rng.normal(0, 0.1, image.shape)
        images.append(torch.from_numpy(image).float())
        labels.append(torch.from_numpy(label))
    ids = torch.arange(first, first + count)
    return LabelledImages(torch.stack(images), torch.stack(labels), ids)


class Batches:
    """A `BatchSource` of other pictures in every batch."""

    def __len__(self) -> int:
        return 20

    def stream(self, *, start: int, stop: int, rank: int, world: int) -> Iterator[LabelledImages]:
        yield from (batch(4 * number) for number in range(start, stop))

    def prepare(self, found: LabelledImages) -> LabelledImages:
        return found


def total(losses: dict[str, Tensor]) -> float:
    return sum(weight * losses[name].item() for name, weight in WEIGHTS.items())


def test_shapes_and_losses() -> None:
    edge, losses = network()(batch())
    assert edge.shape == (4, 1, SIDE // 4, SIDE // 4)
    assert tuple(losses) == LOSSES
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("pyramid", [False, True])
def test_any_pyramid(pyramid: bool) -> None:
    """One level, or four of which several may be finest."""
    trunk = other_encoder(VIT, vit_pyramid=pyramid)
    model = network(encoder=trunk, displacement_widths=(16,) * len(trunk.channels))
    edge, losses = model(batch(count=1))
    assert edge.shape[-1] == SIDE // trunk.strides[0]
    torch.stack(list(losses.values())).sum().backward()
    assert all(found.grad is not None for found in model.parameters())


def test_the_trunk_of_the_paper() -> None:
    """Two levels at the finest stride, and a trunk without texts; here with random weights."""
    trunk = ImageNetPyramid(pretrained=None, seed=0)
    model = network(encoder=trunk, displacement_widths=(8, 8, 8, 8, 8))
    edge, losses = model(batch(count=1))
    assert edge.shape == (1, 1, SIDE // 4, SIDE // 4)
    assert all(torch.isfinite(loss) for loss in losses.values())
    edge, displacement = model.infer(batch(count=1).images[..., :33, :50])
    assert edge.shape == (1, 9, 13) and displacement.shape == (1, 2, 9, 13)


def test_the_trunk_is_frozen_in_evaluation_mode_and_not_saved(tmp_path: Path) -> None:
    model = network().train()
    trunk = model.trunk.encoder
    before = copy.deepcopy(trunk.state_dict())
    torch.stack(list(model(batch())[1].values())).sum().backward()
    assert not any(module.training for module in trunk.modules())
    assert all(found.grad is None for found in trunk.parameters())
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"edge", "displacement"}
    assert copy.deepcopy(model).trunk.encoder is trunk
    model.double()
    assert next(trunk.parameters()).dtype == torch.float64
    model.float()

    model.mean_displacement += 3
    save_weights(model, tmp_path / "w.safetensors", metadata={})
    again = network(seed=1)
    load_weights(again, tmp_path / "w.safetensors")
    images = batch().images
    for first, second in zip(model.infer(images), again.infer(images), strict=True):
        assert torch.equal(first, second)


def test_edges_of_the_mirror_image_are_mirrored() -> None:
    images = batch().images
    model = network()
    edge, _ = model.infer(images)
    mirrored, _ = model.infer(images.flip(-1))
    assert edge.min() >= 0 and edge.max() <= 1
    torch.testing.assert_close(mirrored, edge.flip(-1))


def test_images_of_any_size_give_whole_cells() -> None:
    model = network()
    images = batch(count=1).images
    edge, displacement = model.infer(images[..., :50, :61])
    assert edge.shape == (1, 13, 16) and displacement.shape == (1, 2, 13, 16)
    # filled to 64 x 64 with its last pixels
    filled = torch.nn.functional.pad(images[..., :50, :61], (0, 3, 0, 14), mode="replicate")
    torch.testing.assert_close(edge, model.infer(filled)[0][..., :13, :16])


def test_the_stored_mean_is_subtracted() -> None:
    model = network()
    images = batch().images
    raw = model.infer(images)[1]
    model.store_mean_displacement([images[:3], images[3:]])
    torch.testing.assert_close(model.mean_displacement, raw.mean(dim=(0, 2, 3)))
    assert model.infer(images)[1].mean(dim=(0, 2, 3)).abs().max() < 1e-6
    model.store_mean_displacement([])  # nothing to go by: stays
    assert model.mean_displacement.abs().max() > 0


def test_a_cell_has_the_label_of_its_middle() -> None:
    labels = torch.arange(64).reshape(1, 8, 8)
    assert cell_labels(labels, 4, torch.Size((2, 2))).tolist() == [[[18, 22], [50, 54]]]
    assert cell_labels(labels[:, :7], 4, torch.Size((1, 2))).tolist() == [[[18, 22]]]
    reaching_over = cell_labels(labels[:, :, :6], 4, torch.Size((2, 2)))
    assert reaching_over.tolist() == [[[18, IGNORE], [50, IGNORE]]]


def test_nothing_but_ignored_pixels_is_no_error() -> None:
    found = batch()
    found.labels.fill_(IGNORE)
    losses = network()(found)[1]
    assert all(loss.item() == 0 for loss in losses.values())


def test_widths_for_other_levels_are_told() -> None:
    with pytest.raises(ValueError, match=r"\(16, 16\) for the encoder's 4 levels"):
        network(displacement_widths=(16, 16))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> EdgeDisplacementNetwork:
    """120 steps in the same loop as every other stage."""
    torch.set_num_threads(1)
    model = network()
    tiny.train(
        tmp_path_factory.mktemp("irnet"),
        model,
        batches=Batches(),
        loss_weights=WEIGHTS,
        optimisation=replace(tiny.ADAMW, scales={"displacement.": 3.0}),
        epochs=6,
    )
    model.store_mean_displacement(batch(4 * k).images for k in range(4))
    return model


def test_training_lowers_the_loss_of_pictures_not_seen(trained: EdgeDisplacementNetwork) -> None:
    unseen = batch(2000)
    before, after = network()(unseen)[1], trained(unseen)[1]
    for kind in ("background_affinity", "foreground_affinity", "foreground_displacement"):
        assert after[kind].item() < 0.75 * before[kind].item(), kind
    assert total(after) < 0.75 * total(before)


def test_learned_edges_lie_between_things(trained: EdgeDisplacementNetwork) -> None:
    found = batch(2000)
    edge, _ = trained.infer(found.images)
    labels = cell_labels(found.labels, 4, edge.shape[-2:])
    inner = labels[:, 1:-1, 1:-1]
    around: list[Tensor] = [labels[:, :-2, 1:-1], labels[:, 2:, 1:-1]]
    around += [labels[:, 1:-1, :-2], labels[:, 1:-1, 2:]]
    border = torch.stack([other != inner for other in around]).any(dim=0)
    probability = edge[:, 1:-1, 1:-1]
    assert probability[border].mean() > 2 * probability[~border].mean()


def test_the_sparse_walk_is_the_dense_one_on_learned_edges(
    trained: EdgeDisplacementNetwork,
) -> None:
    edge = trained.infer(batch(2000).images)[0][0].numpy()
    maps = np.random.default_rng(0).random((2, *edge.shape)).astype(np.float32)
    settings = {"radius": 5, "beta": 10.0}
    expected = dense_walk(maps, edge, exp_times=8, **settings)
    found = RandomWalk(edge, **settings).spread(maps, exp_times=8, tolerance=1e-8)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_seed_in_a_thing_grows_to_the_thing(trained: EdgeDisplacementNetwork) -> None:
    """All together: a small part of each disc, by learned edges, becomes the disc.

    On 16 x 16 cells the 256 steps of the paper would reach everywhere through edges of 0.7.
    """
    found = batch(2000)
    edge, displacement = (part.numpy() for part in trained.infer(found.images))
    before, after = [], []
    for row, labels in enumerate(found.labels.numpy()):
        for number in (1, 2):
            thing = labels == number
            y, x = np.argwhere(thing).mean(axis=0)
            seed = disc(SIDE, SIDE, y, x, 5) & thing
            _, (mask,) = rule(exp_times=5)(
                seed[None].astype(np.float32), edge[row], displacement[row], stride=4
            )
            before.append(iou(seed, thing))
            after.append(iou(mask, thing))
    assert np.mean(before) < 0.3 and np.mean(after) > 0.6
