"""One step: names, weights and starts of losses, and what is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.records import Batch
from pipeline.safety import InputError
from tests.training import tiny


class Scripted(nn.Module):
    """Losses are functions of the step; only those in `terms`, if it has terms."""

    def __init__(self, terms: list[str] | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.steps = 0
        self.asked: list[tuple[str, ...]] = []
        if terms is not None:
            self.terms = terms

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        names = getattr(self, "terms", ["good", "bad"])
        self.asked.append(tuple(names))
        poison = torch.nan if self.steps == 4 else 1.0
        self.steps += 1
        losses = {"good": self.weight * 2, "bad": self.weight * poison}
        return self.weight, {name: losses[name] for name in names}


def train(folder: Path, network: nn.Module, **changes: Any) -> None:
    tiny.train(folder, network, **({"optimisation": PLAIN} | changes))


PLAIN = tiny.Optimisation(**{**vars(tiny.ADAMW), "scales": {}})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"good": 1.0}, r"without a weight: bad$"),
        ({"good": 1.0, "bad": 1.0, "ugly": 1.0}, r"weights without a loss: ugly$"),
        ({"ugly": 1.0}, r"without a weight: bad, good; weights without a loss: ugly$"),
    ],
)
def test_losses_and_weights_must_match_by_name(
    tmp_path: Path, weights: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(tmp_path, Scripted(), loss_weights=weights)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_loss_that_is_not_finite_is_told_and_leaves_nothing(
    tmp_path: Path, ema: float | None
) -> None:
    source = tiny.batches()
    with pytest.raises(InputError) as caught:
        train(tmp_path, Scripted(), batches=source, loss_weights={"good": 1.0, "bad": 2.0}, ema=ema)
    message = str(caught.value)
    images = source.batch(4, 0, 1).image_ids.tolist()
    for part in ("step 5 ", "good 1.9", "bad nan", f"{images}", "learning_rate", "clip_norm"):
        assert part in message
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "weights.safetensors").exists()


def test_no_checkpoint_has_seen_what_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="step 5 is not finite"):
        train(
            tmp_path,
            Scripted(),
            loss_weights={"good": 1.0, "bad": 1.0},
            checkpoint_minutes=0.0,
        )
    [path] = tmp_path.rglob("*.ckpt")
    content = torch.load(path, weights_only=True)
    assert content["global_step"] == 4
    assert torch.isfinite(content["state_dict"]["network.weight"])


def test_a_bad_last_step_is_told_too(tmp_path: Path) -> None:
    last = Scripted()
    last.steps = 5 - len(tiny.batches())
    with pytest.raises(InputError, match="not finite"):
        train(tmp_path, last, loss_weights={"good": 1.0, "bad": 1.0}, epochs=1)
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_loss_of_no_weight_cannot_spoil_the_sum(tmp_path: Path) -> None:
    train(tmp_path, Scripted(), loss_weights={"good": 1.0, "bad": 0.0})
    assert (tmp_path / "weights.safetensors").exists()


def test_a_network_with_terms_computes_what_counts(tmp_path: Path) -> None:
    """18 steps; `bad` starts after half of them, and poisons nothing before."""
    network = Scripted(terms=["good"])
    train(
        tmp_path,
        network,
        loss_weights={"good": 1.0, "bad": 1.0},
        loss_starts={"bad": 0.5},
    )
    assert network.asked == [("good",)] * 9 + [("good", "bad")] * 9
    rows = (tmp_path / "curves.csv").read_text().splitlines()
    bad = [row.split(",")[5] for row in rows[1:]]
    assert bad[:9] == ["nan"] * 9 and "nan" not in bad[9:]


def test_a_start_of_no_loss_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="loss_starts: ugly"):
        train(
            tmp_path,
            Scripted(),
            loss_weights={"good": 1.0, "bad": 1.0},
            loss_starts={"ugly": 0.5},
        )


def test_the_sum_is_weighted(tmp_path: Path) -> None:
    train(tmp_path, Scripted(), loss_weights={"good": 3.0, "bad": 0.0}, epochs=1)
    first = (tmp_path / "curves.csv").read_text().splitlines()[1].split(",")
    assert first[3:6] == ["6", "2", "1"]


@pytest.mark.parametrize(("clip_norm", "step"), [(None, 0.2), (5.0, 0.2), (0.5, 0.05)])
def test_the_gradient_is_clipped_to_its_norm(
    tmp_path: Path, clip_norm: float | None, step: float
) -> None:
    """Of 2 w it is 2 in every step; at a rate of 0.1 the weight goes by 0.2, or by 0.05."""
    network = Scripted(["good"])
    changes: dict[str, Any] = {"optimiser": "sgd", "momentum": 0, "weight_decay": 0}
    changes |= {"learning_rate": 0.1, "schedule": "constant", "clip_norm": clip_norm}
    plan = tiny.Optimisation(**{**vars(PLAIN), **changes})
    train(tmp_path, network, optimisation=plan, loss_weights={"good": 1.0}, epochs=1)
    assert network.weight.item() == pytest.approx(1 - step * network.steps, rel=1e-5)
