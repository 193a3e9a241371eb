"""Parameter groups, schedules, optimisers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.safety import InputError
from pipeline.training.optimisation import (
    build_optimiser,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
)
from tests.training import tiny


def names_by_group(**changes: object) -> dict[tuple[float, float], set[str]]:
    network = tiny.Network()
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = parameter_groups(network, replace(tiny.ADAMW, **changes))  # type: ignore[arg-type]
    return {
        (group["scale"], group["weight_decay"]): {names[p] for p in group["params"]}  # type: ignore
        for group in groups
    }


def test_the_encoder_learns_slower() -> None:
    assert names_by_group() == {
        (0.1, 0.01): {"encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias"},
        (1.0, 0.01): {"words.weight", "log_scale"},
    }


def test_norms_biases_and_scales_may_go_without_decay() -> None:
    assert names_by_group(decayed="matrices") == {
        (0.1, 0.01): {"encoder.0.weight"},
        (0.1, 0.0): {"encoder.0.bias", "encoder.1.weight", "encoder.1.bias"},
        (1.0, 0.01): {"words.weight"},
        (1.0, 0.0): {"log_scale"},
    }


def test_the_longest_prefix_counts() -> None:
    groups = names_by_group(scales={"encoder.": 0.1, "encoder.1": 10.0})
    assert groups[10.0, 0.01] == {"encoder.1.weight", "encoder.1.bias"}


def test_frozen_parameters_are_left_out_and_mistakes_are_named() -> None:
    network = tiny.Network()
    network.encoder.requires_grad_(False)
    assert all(group["scale"] == 1.0 for group in parameter_groups(network, tiny.ADAMW))
    network.requires_grad_(False)
    with pytest.raises(InputError, match="no trainable parameter"):
        parameter_groups(network, tiny.ADAMW)
    with pytest.raises(InputError, match=r"'branch\.'; the network has encoder, log_scale, words"):
        parameter_groups(network, replace(tiny.ADAMW, scales={"branch.": 10.0}))


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("polynomial", 0, {0: 1.0, 50: 0.5**0.9, 99: 0.01**0.9}),
        ("polynomial", 20, {0: 0.05, 19: 1.0, 20: 1.0, 60: 0.5**0.9}),
        ("cosine", 0, {0: 1.0, 25: 0.8535534, 50: 0.5, 75: 0.1464466}),
        ("constant", 0, {0: 1.0, 99: 1.0}),
        ("constant", 10, {0: 0.1, 9: 1.0, 99: 1.0}),
    ],
)
def test_schedules(schedule: str, warmup: int, expected: dict[int, float]) -> None:
    for step, factor in expected.items():
        found = learning_rate_factor(
            step,
            steps=100,
            schedule=schedule,
            power=0.9,
            warmup_steps=warmup,  # type: ignore
        )
        assert found == pytest.approx(factor, rel=1e-5), step


@given(
    st.integers(1, 200),
    st.integers(0, 300),
    st.sampled_from(["polynomial", "cosine", "constant"]),
    st.floats(0.1, 5),
)
def test_a_rate_is_never_negative_nor_too_large(
    steps: int, warmup: int, schedule: str, power: float
) -> None:
    for step in range(steps):
        factor = learning_rate_factor(
            step,
            steps=steps,
            schedule=schedule,
            power=power,
            warmup_steps=warmup,  # type: ignore
        )
        assert 0 < factor <= 1


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_optimisers_are_torchs_own(name: str) -> None:
    """One step of ours is one step of the named optimiser at the scaled rate."""
    mine, reference = tiny.Network(), tiny.Network()
    optimisation = replace(tiny.ADAMW, optimiser=name)  # type: ignore[arg-type]
    optimiser = build_optimiser(mine, optimisation)
    set_learning_rate(optimiser, optimisation, 50, 100)
    rate = 0.01 * 0.5**0.9
    groups = [
        {"params": reference.encoder.parameters(), "lr": rate * 0.1},
        {"params": [reference.words.weight, reference.log_scale], "lr": rate},
    ]
    torchs = {
        "adamw": lambda: torch.optim.AdamW(groups, weight_decay=0.01, foreach=False),
        "adam": lambda: torch.optim.Adam(groups, weight_decay=0.01, foreach=False),
        "sgd": lambda: torch.optim.SGD(groups, rate, momentum=0.9, weight_decay=0.01),
    }[name]()
    for network in (mine, reference):
        for parameter in network.parameters():
            parameter.grad = torch.sin(torch.arange(parameter.numel())).view(parameter.shape)
    optimiser.step()
    torchs.step()
    for ours, theirs in zip(mine.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
