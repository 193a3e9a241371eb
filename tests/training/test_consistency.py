"""The student of its own average: whose logits are compared, from when on, and after a kill."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.config import check, merge
from pipeline.layout import Layout
from pipeline.records import Batch
from pipeline.safety import InputError
from pipeline.steps import train_segmentor
from tests.training import real, tiny

RATE, DECAY, WEIGHT = 0.05, 0.8, 3.0
SGD = tiny.Optimisation(
    **{
        **vars(tiny.ADAMW),
        "optimiser": "sgd",
        "learning_rate": RATE,
        "scales": {},
        "weight_decay": 0.0,
        "momentum": 0.0,
        "schedule": "constant",
    }
)


class Slope(nn.Module):
    """One number is every logit, and its own loss: without a teacher it falls steadily."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.tensor(1.0))

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self.logit.expand(len(batch.tokens), 1, 2, 2), {"own": self.logit}


def train(folder: Path, network: nn.Module, **changes: Any) -> list[dict[str, str]]:
    settings = {
        "loss_weights": {"own": 1.0, "consistency": WEIGHT},
        "loss_starts": {"consistency": 0.0},
        "consistency": "mse",
        "optimisation": SGD,
        "ema": DECAY,
    }
    tiny.train(folder, network, **(settings | changes))
    return tiny.curve(folder / "curves.csv")


def test_the_teacher_is_the_average_of_the_student(tmp_path: Path) -> None:
    """Step after step as by hand: the average of the steps before, and no gradient through it."""
    network = Slope()
    rows = train(tmp_path, network)
    student = teacher = torch.tensor(1.0)
    for number, row in enumerate(rows):
        there, aim = student.sigmoid(), teacher.sigmoid()
        loss = (there - aim) ** 2
        assert float(row["consistency"]) == pytest.approx(loss.item(), rel=1e-3, abs=1e-9), number
        assert float(row["loss"]) == pytest.approx((student + WEIGHT * loss).item(), rel=1e-3)
        slope = 1 + WEIGHT * 2 * (there - aim) * there * (1 - there)
        student = student - RATE * slope
        # the library's average begins with the weights after the first step
        teacher = student if number == 0 else DECAY * teacher + (1 - DECAY) * student
    assert len(rows) > 10 and float(rows[-1]["consistency"]) > 0
    assert network.logit.item() == pytest.approx(teacher.item(), rel=1e-5)


def test_it_begins_when_it_is_told(tmp_path: Path) -> None:
    rows = train(tmp_path, Slope(), loss_starts={"consistency": 0.5})
    counted = [row["consistency"] != "nan" for row in rows]
    assert counted == [2 * number >= len(rows) for number in range(len(rows))]


def test_killed_and_started_again_ends_in_the_same_bits(tmp_path: Path) -> None:
    class Images(tiny.Network):
        """Maps that differ from image to image, of a network with dropout and a batch norm."""

    settings: dict[str, Any] = {
        "loss_weights": tiny.WEIGHTS | {"consistency": 1.0},
        "optimisation": tiny.ADAMW,
    }
    train(tmp_path / "whole", Images(), **settings)
    source = tiny.Interrupted(tiny.batches(), 7, tiny.send(signal.SIGTERM))
    with pytest.raises(SystemExit):
        train(tmp_path / "parts", Images(), batches=source, **settings)
    train(tmp_path / "parts", Images(), **settings)
    whole, parts = (tmp_path / name / "weights.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_without_an_average_there_is_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="set ema to a decay"):
        train(tmp_path, Slope(), ema=None)


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_the_segmentor_agrees_with_its_average_as_configured(tmp_path: Path, kind: str) -> None:
    real.write_inputs(tmp_path)
    segmentor = {
        "consistency": {"loss": kind, "weight": 0.5, "start": 0.5},
        "training": {"ema": 0.9, "epochs": 4},
    }
    config = check(merge(real.config(tmp_path).model_dump(), {"segmentor": segmentor}))
    train_segmentor.run(config, run="supervised")
    rows = tiny.curve(Layout.of(config).curves("supervised", "segmentor"))
    found = [float(row["consistency"]) for row in rows if row["consistency"] != "nan"]
    assert len(found) == len(rows) / 2 and all(value > 0 for value in found)
    last = rows[-1]
    total = sum(float(last[name]) for name in ("segmentation", "deep_supervision"))
    assert float(last["loss"]) == pytest.approx(total + 0.5 * found[-1], rel=1e-4)
