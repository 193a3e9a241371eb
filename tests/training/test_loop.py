"""The whole loop: the same bits again, after a stop, and not after a change."""

from __future__ import annotations

import os
import pickle
import signal
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.safety import InputError
from pipeline.store import atomic_path
from pipeline.training.precision import resolve_precision
from tests.training import tiny

STEPS_PER_EPOCH = len(tiny.batches())
STEPS = 3 * STEPS_PER_EPOCH


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    tiny.train(folder)
    return folder


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def curve(folder: Path) -> list[dict[str, str]]:
    return tiny.curve(folder / "curves.csv")


def stop(folder: Path, at: int, number: int = signal.SIGTERM, **changes: Any) -> int:
    """Send ourselves a signal before batch `at`; the exit code."""
    source = tiny.Interrupted(tiny.batches(), at, tiny.send(number))
    with pytest.raises(SystemExit) as caught:
        tiny.train(folder, batches=source, **changes)
    assert not (folder / "weights.safetensors").exists()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_same_run_ends_in_the_same_bits(whole: Path, tmp_path: Path) -> None:
    tiny.train(tmp_path)
    assert weights(tmp_path) == weights(whole)
    assert curve(tmp_path) == curve(whole)


def test_another_seed_ends_elsewhere(whole: Path, tmp_path: Path) -> None:
    """The loop's seed alone (dropout), and the batches' seed alone (order)."""
    tiny.train(tmp_path / "loop", seed=1)
    tiny.train(tmp_path / "batches", batches=tiny.batches(seed=1))
    results = {weights(whole), weights(tmp_path / "loop"), weights(tmp_path / "batches")}
    assert len(results) == 3


def test_only_the_declared_files_are_left(whole: Path) -> None:
    assert sorted(p.name for p in whole.iterdir()) == ["curves.csv", "weights.safetensors"]


def test_curves_tell_every_step(whole: Path) -> None:
    rows = curve(whole)
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    assert [int(row["epoch"]) for row in rows] == sorted([0, 1, 2] * STEPS_PER_EPOCH)
    assert list(rows[0]) == ["step", "epoch", "learning_rate", "loss", "match", "size"]
    assert float(rows[0]["learning_rate"]) == 0.01
    for row in rows:
        total = float(row["match"]) + 0.1 * float(row["size"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)


# within an epoch, at its first and last batch, at the first of all
@pytest.mark.parametrize(
    "at", [0, 4, STEPS_PER_EPOCH - 1, STEPS_PER_EPOCH, 3 * STEPS_PER_EPOCH - 2]
)
def test_sigterm_saves_and_the_rest_is_as_if_nothing_had_been(
    whole: Path, tmp_path: Path, at: int
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert stop(tmp_path, at) == 143
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    tiny.train(tmp_path)
    assert weights(tmp_path) == weights(whole)
    assert curve(tmp_path) == curve(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "weights.safetensors"]


def test_a_signal_in_the_last_step_lets_it_finish(whole: Path, tmp_path: Path) -> None:
    source = tiny.Interrupted(tiny.batches(), STEPS - 1, tiny.send(signal.SIGTERM))
    tiny.train(tmp_path, batches=source)
    assert weights(tmp_path) == weights(whole)


def test_stopped_again_and_again_with_averages_and_sparse_curves(tmp_path: Path) -> None:
    """Average, momentum and half-filled rows of the curves all survive."""
    changes: dict[str, Any] = {
        "ema": 0.8,
        "curve_steps": 4,
        "optimisation": replace(tiny.ADAMW, optimiser="sgd", clip_norm=0.5, warmup_steps=3),
    }
    tiny.train(tmp_path / "whole", **changes)
    assert stop(tmp_path / "parts", 2, **changes) == 143
    assert stop(tmp_path / "parts", 9, signal.SIGINT, **changes) == 130
    assert stop(tmp_path / "parts", 10, **changes) == 143
    tiny.train(tmp_path / "parts", **changes)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    assert [int(row["step"]) for row in curve(tmp_path / "whole")] == [
        4,
        8,
        12,
        16,
        18,
    ]


def test_the_average_is_the_result(tmp_path: Path) -> None:
    """A decay of 1 never leaves the weights after the first step."""
    averaged = tiny.train(tmp_path / "ema", ema=1.0)
    first = tiny.Network()
    source = tiny.batches()
    states = []

    def remember() -> None:
        states.append({k: v.clone() for k, v in first.state_dict().items()})

    tiny.train(tmp_path / "plain", first, batches=tiny.Interrupted(source, 1, remember))
    for name, value in averaged.named_parameters():
        assert torch.equal(value, states[0][name]), name
        assert not torch.equal(value, first.get_parameter(name)), name


@pytest.mark.parametrize(
    "changes",
    [
        {"run_key": "another"},
        {"seed": 1},
        {"loss_weights": {"match": 1.0, "size": 0.2}},
        {"optimisation": replace(tiny.ADAMW, weight_decay=0.02)},
        {"epochs": 4},
        {"network": tiny.Network(seed=1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_changed_run_never_resumes(
    tmp_path: Path, changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    stop(tmp_path / "stale", 4)
    tiny.train(tmp_path / "stale", **deepcopy(changes))
    tiny.train(tmp_path / "fresh", **deepcopy(changes))
    assert "resumes" not in capfd.readouterr().err
    assert weights(tmp_path / "stale") == weights(tmp_path / "fresh")
    assert list((tmp_path / "stale" / "checkpoints").iterdir())  # the other run's, still there


class Bomb:
    """A pickle that would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("damage", ["short", "empty", "flipped", "bomb", "pickle bomb"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    stop(tmp_path, 4)
    [path] = tmp_path.rglob("*.ckpt")
    content = path.read_bytes()
    target = tmp_path / "exploded"
    if damage == "bomb":
        torch.save({"state_dict": Bomb(target)}, path)
    elif damage == "pickle bomb":
        path.write_bytes(pickle.dumps(Bomb(target)))
    elif damage == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "short" else b"")
    with pytest.raises(InputError, match=r"last-\w+\.ckpt: not a readable checkpoint"):
        tiny.train(tmp_path)
    assert not target.exists()


def test_checkpoints_come_with_the_clock(tmp_path: Path) -> None:
    """At zero minutes every step has one: what a kill leaves is at most one step."""

    def look() -> None:
        [path] = tmp_path.rglob("*.ckpt")
        found.append(torch.load(path, weights_only=True)["global_step"])

    found: list[int] = []
    source = tiny.Interrupted(tiny.batches(), 3, look)
    tiny.train(tmp_path, batches=source, checkpoint_minutes=0.0)
    assert found == [3]


def test_the_loop_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    tiny.train(tmp_path)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("tiny: step 18/18, epoch 3/3, loss ") and err.count("\n") == 1
    assert not [w for w in recwarn if "lightning" in str(w.filename)]
    assert not Path("lightning_logs").exists()


def test_bfloat16_and_channels_last_train_too(whole: Path, tmp_path: Path) -> None:
    network = tiny.train(tmp_path, precision="bf16", channels_last=True)
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert weights(tmp_path) != weights(whole)
    last = float(curve(tmp_path)[-1]["loss"])
    assert last == pytest.approx(float(curve(whole)[-1]["loss"]), rel=0.05)


def test_precision_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for amx, avx, expected in ((True, False, "bf16"), (False, True, "bf16"), (False, False, "32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has=amx: has)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=avx: has)
        assert resolve_precision("auto", "cpu") == expected
        assert resolve_precision("32", "cpu") == "32"
        assert resolve_precision("bf16", "cpu") == "bf16"


def test_modules_that_the_network_keeps_in_eval_stay_so(tmp_path: Path) -> None:
    class Keeps(tiny.Network):
        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            self.encoder.eval()
            return self

    network = tiny.train(tmp_path, Keeps().eval())
    assert network.training and not network.encoder.training
    assert (network.encoder[1].running_mean == 0).all()


def test_nothing_to_train_on_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 epochs"):
        tiny.train(tmp_path, epochs=0)


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="set it to auto or cpu"):
        tiny.train(tmp_path, accelerator="gpu")


def test_a_failure_leaves_nothing_without_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no picture"):
        tiny.train(tmp_path, batches=tiny.Interrupted(tiny.batches(), 3, no_picture))
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_a_checkpoint_and_its_curves(whole: Path, tmp_path: Path) -> None:
    failing = tiny.Interrupted(tiny.batches(), STEPS_PER_EPOCH + 2, no_picture)
    with pytest.raises(RuntimeError, match="no picture"):
        tiny.train(tmp_path, batches=failing)
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["best", "curves", "last"]
    tiny.train(tmp_path)
    assert weights(tmp_path) == weights(whole) and curve(tmp_path) == curve(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "weights.safetensors"]


def test_what_a_kill_left_half_written_goes(whole: Path, tmp_path: Path) -> None:
    """Of each file that a run keeps on the way, killed just before its rename."""
    stop(tmp_path, STEPS_PER_EPOCH + 2)
    for path in list((tmp_path / "checkpoints").iterdir()):
        if (child := os.fork()) == 0:
            with atomic_path(path) as temporary:
                temporary.write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
    assert len(list((tmp_path / "checkpoints").glob(".*"))) == 3
    tiny.train(tmp_path)
    assert weights(tmp_path) == weights(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "weights.safetensors"]


def no_picture() -> None:
    raise RuntimeError("no picture")


def test_two_processes_never_train_the_same_run(tmp_path: Path) -> None:
    refused: list[str] = []

    def meet() -> None:
        with pytest.raises(InputError, match="is training this very run") as caught:
            tiny.train(tmp_path)
        refused.append(str(caught.value))

    tiny.train(tmp_path, batches=tiny.Interrupted(tiny.batches(), 8, meet))
    assert f"process {os.getpid()} " in refused[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.csv", "weights.safetensors"]
