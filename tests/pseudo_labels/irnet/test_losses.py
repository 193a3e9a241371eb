"""The losses against the sums of their definitions, pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipeline.pseudo_labels.irnet.losses import IGNORE, LOSSES, pair_losses

SIZE = (6, 7)


def random_case(images: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 2, IGNORE])[
        torch.randint(0, 4, (images, *SIZE), generator=generator)
    ]
    edge = torch.randn(images, *SIZE, generator=generator) * 2
    return edge, torch.randn(images, 2, *SIZE, generator=generator), labels


def by_hand(edge: Tensor, displacement: Tensor, labels: Tensor, radius: int) -> dict[str, float]:
    """All pairs of all images, with probabilities and no trick."""
    found: dict[str, list[float]] = {name: [] for name in LOSSES}
    cells = [(y, x) for y in range(SIZE[0]) for x in range(SIZE[1])]
    for image in range(len(edge)):
        probability, field, label = edge[image].sigmoid(), displacement[image], labels[image]
        for place, (y, x) in enumerate(cells):
            for v, u in cells[place + 1 :]:
                dy, dx = v - y, u - x
                a, b = int(label[y, x]), int(label[v, u])
                if dy * dy + dx * dx >= radius * radius or IGNORE in (a, b):
                    continue
                path = [
                    (r, c)
                    for r in range(min(y, v), max(y, v) + 1)
                    for c in range(min(x, u), max(x, u) + 1)
                    if abs(dy * (c - x) - dx * (r - y)) / math.hypot(dy, dx) < 1 - 1e-9
                ]
                affinity = 1 - max(float(probability[cell]) for cell in path)
                if a != b:
                    found["negative_affinity"].append(-math.log(1 - affinity))
                    continue
                kind = "foreground" if a else "background"
                found[f"{kind}_affinity"].append(-math.log(affinity))
                aim = torch.tensor([dy, dx]) if a else torch.zeros(2)
                error = field[:, y, x] - field[:, v, u] - aim
                found[f"{kind}_displacement"].append(float(error.abs().mean()))
    return {name: sum(values) / len(values) for name, values in found.items()}


@pytest.mark.parametrize("radius", [2, 4])
def test_losses_are_the_means_over_pairs(radius: int) -> None:
    case = random_case()
    found = pair_losses(*case, radius=radius)
    assert tuple(found) == LOSSES
    expected = by_hand(*case, radius)
    for name, value in found.items():
        assert float(value) == pytest.approx(expected[name], rel=1e-4), name


def ideal() -> tuple[Tensor, Tensor, Tensor]:
    """A 5x3 thing with a rim of edges, each of its cells pointing to its middle."""
    labels = torch.zeros(1, 9, 11, dtype=torch.int64)
    labels[:, 2:7, 4:7] = 1
    edge = torch.full((1, 9, 11), -20.0)
    edge[:, 1:8, 3:8] = 20
    edge[:, 2:7, 4:7] = -20
    labels[:, edge[0] > 0] = IGNORE
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    towards = torch.stack([4 - rows, 5 - columns])[None]
    return edge, torch.where(labels[:, None] == 1, towards, torch.tensor(0.3)), labels


def test_what_should_be_found_costs_nothing() -> None:
    edge, displacement, labels = ideal()
    losses = pair_losses(edge, displacement, labels, radius=4)
    # two cells of the background may have a rim's corner between them
    for name in set(LOSSES) - {"background_affinity"}:
        assert float(losses[name]) < 1e-6, name
    assert (
        float(pair_losses(edge * 0 - 20, displacement, labels, radius=4)["negative_affinity"]) > 5
    )
    away = pair_losses(edge, -displacement, labels, radius=4)
    assert float(away["foreground_displacement"]) > 1


def test_a_constant_displacement_is_free() -> None:
    edge, displacement, labels = random_case()
    shift = torch.tensor([3.0, -2.0])[:, None, None]
    here, there = (
        pair_losses(edge, d, labels, radius=3) for d in (displacement, displacement + shift)
    )
    for name in LOSSES:
        assert float(here[name]) == pytest.approx(float(there[name]), rel=1e-5)


@pytest.mark.parametrize("only", [0, 1, IGNORE])
def test_kinds_without_pairs_cost_nothing_and_have_gradients(only: int) -> None:
    edge, displacement, labels = random_case()
    edge.requires_grad_()
    displacement.requires_grad_()
    losses = pair_losses(edge, displacement, torch.full_like(labels, only), radius=3)
    torch.stack(list(losses.values())).sum().backward()
    assert edge.grad is not None and displacement.grad is not None
    assert torch.isfinite(edge.grad).all() and torch.isfinite(displacement.grad).all()
    counted = {0: "background", 1: "foreground", IGNORE: "nothing"}[only]
    for name, value in losses.items():
        assert (value.item() > 0) == (counted in name)
    one_cell = pair_losses(edge[:, :1, :1], displacement[..., :1, :1], labels[:, :1, :1], radius=3)
    assert all(value.item() == 0 for value in one_cell.values())


def test_saturated_edges_stay_finite() -> None:
    edge, displacement, labels = random_case()
    for logit in (-1e4, 1e4):
        sure = torch.full_like(edge, logit).requires_grad_()
        losses = pair_losses(sure, displacement, labels, radius=3)
        torch.stack(list(losses.values())).sum().backward()
        assert sure.grad is not None and torch.isfinite(sure.grad).all()
