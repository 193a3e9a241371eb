"""The small SAM's scenes, prompts and losses, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.encoders.sam import new_sam
from pipeline.miniature import MiniatureSettings, example_of
from pipeline.miniature.mask_scenes import MaskScenes, read_mask_scenes, write_mask_scenes
from pipeline.miniature.small_sam import (
    NOTHING,
    PromptBatch,
    PromptBatches,
    PromptsPerImage,
    SmallSamPretraining,
    box_of,
    mask_losses,
    rough_logits,
)
from pipeline.safety import InputError
from pipeline.store import write_table
from tests.encoders.test_sam import SHAPE

PROMPTS = PromptsPerImage(points=3, background=2, boxes=2, masks=2)
SIDE = SHAPE.image_size


def discs(count: int, seed: int) -> MaskScenes:
    """Noisy pictures with a bright disc on the left and a dark one on the right."""
    rng = np.random.default_rng(seed)
    images = rng.normal(110, 8, (count, SIDE, SIDE, 3))
    labels = np.zeros((count, SIDE, SIDE), dtype=np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for image, label in zip(images, labels, strict=True):
        for number, colour in ((1, 230), (2, 20)):
            cy, cx = rng.integers(6, SIDE - 6), rng.integers(4, 12) + (number - 1) * SIDE // 2
            disc = (y - cy) ** 2 + (x - cx) ** 2 < rng.integers(4, 8) ** 2
            image[disc], label[disc] = colour, number
    return MaskScenes(images.clip(0, 255).astype(np.uint8), labels)


def batches(*, seed: int = 0, prompts: PromptsPerImage = PROMPTS) -> PromptBatches:
    return PromptBatches(discs(10, 0), prompts, grid=4, steps=7, batch_size=4, seed=seed)


def same(first: PromptBatch, second: PromptBatch) -> bool:
    return all(torch.equal(vars(first)[name], vars(second)[name]) for name in vars(first))


def test_scenes_are_others_than_the_datasets(tmp_path: Path, settings: MiniatureSettings) -> None:
    path = tmp_path / "scenes.parquet"
    write_mask_scenes(path, settings=settings, scenes=6, processes=1)
    scenes = read_mask_scenes(path)
    assert scenes.images.shape == (6, 128, 128, 3) and scenes.labels.shape == (6, 128, 128)
    for labels in scenes.labels:
        assert set(np.unique(labels)) == set(range(int(labels.max()) + 1))
    mine = {labels.tobytes() for labels in scenes.labels}
    others = {example_of(settings, index).visible.any(axis=0).tobytes() for index in range(6)}
    assert not {(labels > 0).tobytes() for labels in scenes.labels} & others and len(mine) == 6
    kept, held_out = scenes.split(2)
    assert len(kept.images) == 4 and np.array_equal(held_out.labels, scenes.labels[4:])
    with pytest.raises(InputError, match="held_out"):
        scenes.split(6)
    again = tmp_path / "again.parquet"
    write_mask_scenes(again, settings=settings, scenes=6, processes=1)
    assert again.read_bytes() == path.read_bytes()


def test_an_unusable_table_of_scenes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scenes.parquet"
    with pytest.raises(InputError, match=r"scenes\.parquet"):
        read_mask_scenes(path)
    row = {"image": [b"no picture"], "labels": [b"none"], "height": [8], "width": [8]}
    write_table(path, row, kind="mask_scenes", config_digest="0")
    with pytest.raises(InputError, match=r"scenes\.parquet"):
        read_mask_scenes(path)


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    forwards = list(batches().stream(start=0, stop=7, rank=0, world=1))
    backwards = [batches().batch(number, 0, 1) for number in reversed(range(7))]
    assert all(same(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert not same(forwards[0], batches(seed=1).batch(0, 0, 1))
    assert not same(forwards[0], forwards[2])


def test_processes_share_a_batch() -> None:
    whole = batches().batch(3, 0, 1)
    halves = [batches().batch(3, rank, 2) for rank in range(2)]
    for name, value in vars(whole).items():
        for rank, half in enumerate(halves):
            assert torch.equal(vars(half)[name], value[rank::2]), name


def test_prompts_lie_where_they_mean() -> None:
    for batch in batches().stream(start=0, stop=7, rank=0, world=1):
        assert batch.meant.shape == (4, 9) and batch.points.shape == (4, 7, 2)
        for image, (labels, meant) in enumerate(zip(batch.labels, batch.meant, strict=True)):
            for place, (x, y) in enumerate(batch.points[image].long().tolist()):
                label = int(labels[y, x])
                assert label == (int(meant[place]) if meant[place] != NOTHING else 0)
            assert (meant == NOTHING).tolist() == [False] * 3 + [True] * 2 + [False] * 4
            for box, label in zip(batch.boxes[image], meant[7:].tolist(), strict=True):
                exact = box_of(labels.numpy() == label)
                sides = np.tile(exact[2:] - exact[:2] + 1, 2)
                assert (np.abs(box.numpy() - exact) < 0.6 * sides).all()
        assert (batch.kinds[:, :5] == 1).all() and set(batch.kinds[:, 5:].flatten().tolist()) <= {
            1,
            -1,
        }


def test_losses_of_a_perfect_and_of_an_opposite_mask() -> None:
    target = (torch.arange(64).reshape(1, 8, 8) % 8 < 4).float()
    logits = torch.stack([40 * target - 20, 20 - 40 * target], dim=1)
    focal, dice, overlap = mask_losses(logits, target)
    assert focal[0, 0] < 1e-6 and dice[0, 0] < 1e-4 and overlap[0, 0] == 1
    assert focal[0, 1] > 10 and dice[0, 1] > 0.9 and overlap[0, 1] == 0


def test_an_empty_target_has_no_iou() -> None:
    assert mask_losses(torch.full((1, 1, 4, 4), -5.0), torch.zeros(1, 4, 4))[2].item() == 0


def test_of_three_masks_the_best_learns_most() -> None:
    network = SmallSamPretraining(new_sam(SHAPE, seed=0), winner=1.0)
    batch = batches().batch(0, 0, 1)
    logits, losses = network(batch)
    assert logits.shape == (36, 4, 16, 16)
    assert set(losses) == {"focal", "dice", "iou", "foreground", "edges", "centres"}
    logits.retain_grad()
    (losses["focal"] + losses["dice"]).backward()
    assert logits.grad is not None
    moved = logits.grad.flatten(2).abs().sum(dim=2) > 0
    real = (batch.meant != NOTHING).flatten()
    assert (moved[real][:, 0]).all() and (moved[real][:, 1:].sum(dim=1) == 1).all()
    assert not moved[~real].any()


@pytest.mark.parametrize("name", ["foreground", "edges", "centres"])
def test_what_places_belong_to_teaches_the_image_encoder(name: str) -> None:
    network = SmallSamPretraining(new_sam(SHAPE, seed=0), winner=0.8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for number in range(2):  # the layer that asks starts at zero, and passes nothing on at first
        optimiser.zero_grad()
        network(batches().batch(number, 0, 1))[1][name].backward()
        optimiser.step()
    encoder, decoder = network.sam.image_encoder, network.sam.mask_decoder
    assert all(weight.grad is not None for weight in encoder.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.neck[0].parameters())
    assert all(weight.grad is None for weight in decoder.parameters())


def test_points_of_the_background_teach_their_worthlessness() -> None:
    network = SmallSamPretraining(new_sam(SHAPE, seed=0), winner=0.8)
    none = PromptsPerImage(points=1, background=8, boxes=0, masks=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for batch in batches(prompts=none).stream(start=0, stop=7, rank=0, world=1):
        losses = network(batch)[1]
        optimiser.zero_grad()
        losses["iou"].backward()
        optimiser.step()
    with torch.no_grad():
        assert network(batch)[1]["iou"] < 0.05


def test_rough_masks_are_blurred_and_noisy_but_not_far_off() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., :8, :8] = 1
    exact = rough_logits(target, torch.zeros(1, 1, 4, 4))
    assert exact[0, 0, 2, 2] == 10 and exact[0, 0, 13, 13] == -10
    assert 0 < (exact.abs() < 10).float().mean() < 0.5  # the outline is soft
    noisy = rough_logits(target, torch.full((1, 1, 4, 4), 0.3))
    assert noisy[0, 0, 13, 13] == pytest.approx(-4)


def test_it_learns_discs() -> None:
    """With the masks of some scenes it finds the objects of others, by points and by boxes."""
    from pipeline.encoders.sam_prompts import SamPrompter
    from pipeline.steps.sam_probe import prompted_quality, scenes_with_masks

    sam = new_sam(SHAPE, seed=0)
    network = SmallSamPretraining(sam, winner=0.8).train()
    source = PromptBatches(discs(60, 1), PROMPTS, grid=4, steps=400, batch_size=8, seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=6e-3)
    held_out = list(scenes_with_masks(discs(20, 2)))

    def measured() -> dict[str, float]:
        return prompted_quality(
            SamPrompter(sam, device="cpu", prompts_per_batch=8), held_out, seed=0
        )

    before = measured()
    network.train()
    for batch in source.stream(start=0, stop=400, rank=0, world=1):
        losses = network(batch)[1]
        optimiser.zero_grad()
        (20 * losses["focal"] + losses["dice"] + losses["iou"]).backward()
        optimiser.step()
    after = measured()
    assert after["objects"] == 40 and after["images"] == 20
    assert after["point"] > 50 > before["point"]
    assert after["box"] > 50 > before["box"]
    assert after["map"] > 50 > before["map"]
