"""The best epoch: who judges it, that it can be the result, and that judging changes nothing."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training import tiny

# the rate only falls through the epochs that a run is told of; a constant one makes the first
# epochs of a long run the same as a short run
STEADY = replace(tiny.ADAMW, optimiser="sgd", schedule="constant", learning_rate=1.0)
HELD_OUT_ROWS = [row for row in tiny.expressions() if row.image_id >= 6]
TRAINED_ROWS = [row for row in tiny.expressions() if row.image_id < 6]


def weights(folder: Path, **changes: Any) -> bytes:
    tiny.train(folder, optimisation=STEADY, **changes)
    return (folder / "weights.safetensors").read_bytes()


def by_epoch(folder: Path) -> list[float]:
    """The mean loss of every epoch, from the curves."""
    rows = tiny.curve(folder / "curves.csv")
    losses: dict[str, list[float]] = {}
    for row in rows:
        losses.setdefault(row["epoch"], []).append(float(row["loss"]))
    return [sum(values) / len(values) for values in losses.values()]


@pytest.mark.parametrize("ema", [None, 0.5])
def test_the_best_epoch_is_the_one_of_the_lowest_mean_loss(
    tmp_path: Path, ema: float | None
) -> None:
    found = weights(tmp_path / "best", epochs=4, result="best", ema=ema)
    losses = by_epoch(tmp_path / "best")
    best = losses.index(min(losses)) + 1
    assert best < 4, "the last epoch is meant to be worse"
    assert _tensors(found) == _tensors(weights(tmp_path / "short", epochs=best, ema=ema))
    assert _tensors(found) != _tensors(weights(tmp_path / "last", epochs=4, ema=ema))
    assert not (tmp_path / "best" / "checkpoints").exists()


def test_held_out_images_judge_and_leave_the_training_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tiny.batches(TRAINED_ROWS)
    plain = weights(tmp_path / "plain", batches=trained, epochs=4)
    judged = weights(
        tmp_path / "judged", batches=trained, epochs=4, held_out=tiny.batches(HELD_OUT_ROWS)
    )
    assert judged == plain
    said = [line for line in capsys.readouterr().err.splitlines() if "held-out" in line]
    assert [line.split(":")[0] for line in said] == [f"epoch {n}" for n in (1, 2, 3, 4)]
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in said]
    best = losses.index(min(losses)) + 1
    assert said[-1].endswith(f"best in epoch {best}")
    assert losses != pytest.approx(by_epoch(tmp_path / "judged"), rel=1e-3)
    chosen = weights(
        tmp_path / "chosen",
        batches=trained,
        epochs=4,
        held_out=tiny.batches(HELD_OUT_ROWS),
        result="best",
    )
    assert _tensors(chosen) == _tensors(weights(tmp_path / "s", batches=trained, epochs=best))


def test_a_resumed_run_remembers_the_best_epoch(tmp_path: Path) -> None:
    whole = weights(tmp_path / "whole", epochs=4, result="best")
    steps = len(tiny.batches())
    source = tiny.Interrupted(tiny.batches(), 3 * steps + 1, tiny.send(signal.SIGTERM))
    with pytest.raises(SystemExit):
        weights(tmp_path / "cut", epochs=4, result="best", batches=source)
    assert weights(tmp_path / "cut", epochs=4, result="best") == whole


def _tensors(content: bytes) -> bytes:
    """Without the header, whose words differ."""
    return content[8 + int.from_bytes(content[:8], "little") :]
