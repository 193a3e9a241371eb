"""What one of several processes of a training does; `torchrun -m tests.training.together FOLDER`.

In FOLDER lie the inputs of `real.write_inputs`. Each process leaves `losses-RANK.json`: network ->
what its share of a batch gave. Then all train for real, and the first writes weights and curves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from pipeline.config import Config, check, merge
from pipeline.layout import Layout
from pipeline.miniature.small_clip import SmallClipPretraining
from pipeline.pseudo_labels.irnet.losses import pair_losses
from pipeline.records import Batch
from pipeline.steps import evaluate, respond, segment, train_localizer, train_segmentor
from pipeline.training.normalisation import share_batch_norms
from tests import networks
from tests.overlays import leaves
from tests.training import real

ROWS, IMAGES = 7, 5  # no multiple of two: the shares differ in size


def small_clip() -> nn.Module:
    torch.manual_seed(0)
    encoder = networks.encoder(0)
    weights = torch.rand(networks.vocabulary().size)
    return SmallClipPretraining(encoder, encoder.logit_scale, weights, seed=0)


class Pairs(nn.Module):
    """IRNet's losses of a single convolution; labels are what a mask holds, and a border."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cells = nn.Conv2d(3, 3, 4, stride=4)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.masks is not None
        edge, displacement = self.cells(batch.images[batch.owner]).split([1, 2], dim=1)
        labels = batch.masks[:, 0, ::4, ::4].long() * (1 + batch.owner[:, None, None] % 2)
        labels[batch.text_ids == 0, :2] = 255
        return edge, pair_losses(edge[:, 0], displacement, labels, radius=3)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tris": lambda: networks.localizer(
        critic=networks.encoder(1),
        terms=("classification", "contrast", "foreground", "calibration"),
    ),
    "tris, own words": lambda: networks.localizer(prompt_texts="own", positives="referent"),
    "ehin": lambda: networks.ehin(critic=networks.encoder(1), positives="text", negatives="mean"),
    # random draws of a share are its own, so here each text meets all that there are
    "pcnet": lambda: networks.pcnet(others=ROWS, earlier="fixed"),
    "segmentor": lambda: networks.segmentor(film=True, loss="ce_dice"),
    "small clip": small_clip,
    "irnet": Pairs,
}


def share(batch: Batch, rank: int, world: int) -> Batch:
    """Every world-th image with its texts, as batches are shared (`ExpressionBatches`)."""
    images = torch.arange(rank, len(batch.images), world)
    rows = torch.isin(batch.owner, images)
    assert batch.negatives is not None and batch.masks is not None
    return replace(
        batch,
        images=batch.images[images],
        owner=torch.searchsorted(images, batch.owner[rows]),
        tokens=batch.tokens[rows],
        text_ids=batch.text_ids[rows],
        image_ids=batch.image_ids[rows],
        ref_ids=batch.ref_ids[rows],
        negatives=batch.negatives[rows],
        masks=batch.masks[rows],
        cues=None if batch.cues is None else batch.cues[rows],
        proposals=None if batch.proposals is None else batch.proposals[images],
    )


def learned(name: str, *, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Losses, gradients and running statistics after one step of a network in training mode."""
    network = NETWORKS[name]().train()
    images = ROWS if name == "small clip" else IMAGES  # a caption a picture
    batch = networks.batch(ROWS, images=images, side=networks.SIDE)
    if name == "pcnet":
        batch = networks.told(batch)
    if world > 1:
        share_batch_norms(network, gpu=False)
    losses = network(share(batch, rank, world))[1]
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    if world > 1:  # as DistributedDataParallel does
        for gradient in gradients.values():
            distributed.all_reduce(gradient)
            gradient /= world
    running = {n: b for n, b in network.named_buffers() if "running" in n}
    return {
        "losses": {n: loss.item() for n, loss in losses.items()},
        "gradients": {n: gradient.flatten().tolist() for n, gradient in gradients.items()},
        "running": {n: values.tolist() for n, values in running.items()},
    }


def config(folder: Path, *, devices: int) -> Config:
    """Of `real`, with steps whose size follows the gradient's, and batches of odd sizes."""
    content = real.config(folder).model_dump(mode="json")
    training = {
        "optimiser": "sgd",
        "learning_rate": 0.001,
        "momentum": 0.9,
        "batch_size": 5,
        "warmup_steps": 0,
    }
    changes = {
        "paths": {"artifacts": str(folder / "artifacts")},
        "machine": {"devices": devices},
        "localizer": {"training": training},
        "segmentor": {"training": training | {"batch_size": 3, "epochs": 3}},
    }
    return check(merge(content, changes))


def train(folder: Path, *, devices: int) -> Layout:
    """Both stages of `real` as their steps train them."""
    settings = config(folder, devices=devices)
    torch.manual_seed(0)
    train_localizer.run(settings, run="weak")
    train_segmentor.run(settings, run="supervised")
    return Layout.of(settings)


def metrics(folder: Path, *, devices: int) -> dict[str, float]:
    """What the weights that `train` wrote are worth on the sentences that they learned from."""
    found: dict[str, Any] = {}
    for rung, run, answer in (("response", "weak", respond), ("segmentor", "supervised", segment)):
        changes = {
            "paths": {"results": str(folder / "results")},
            "pseudo_labels": {"splits": ["none"]},
            "dataset": {"train": "none", "evaluate": ["train"], "headline": "train"},
            "evaluation": {"rungs": [rung], "bootstrap": 0},
            "runs": {name: None for name in ("weak", "supervised") if name != run},
        }
        content = config(folder, devices=devices).model_dump(mode="json")
        settings = check(merge(content, changes))
        answer.run(settings, run=run)
        evaluate.run(settings, run=run)
        found |= dict(leaves(json.loads(Layout.of(settings).run_metrics(run).read_text())))
    return {name: value for name, value in found.items() if isinstance(value, float)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    found = {name: learned(name, rank=rank, world=world) for name in NETWORKS}
    Path(sys.argv[1], f"losses-{rank}.json").write_text(json.dumps(found))
    train(Path(sys.argv[1]), devices=world)
