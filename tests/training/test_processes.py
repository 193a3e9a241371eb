"""Two processes that train together do what one does, and see what one sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipeline import processes
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.training.launch import STARTED, _command, launch
from pipeline.training.normalisation import SharedBatchNorm, share_batch_norms
from tests.training import real, tiny, together


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of both trainings, and what two processes made of them."""
    folder = tmp_path_factory.mktemp("together")
    real.write_inputs(folder)
    shutil.copytree(folder, folder / "alone")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node=2", "-m", "tests.training.together", str(folder)],
        cwd=real.ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", together.NETWORKS)
def test_losses_gradients_and_statistics_are_those_of_the_whole_batch(
    folder: Path, name: str
) -> None:
    """Negatives of other processes included; in both processes the same."""
    alone = together.learned(name)
    for rank in range(2):
        found = json.loads((folder / f"losses-{rank}.json").read_text())[name]
        assert found["losses"] == pytest.approx(alone["losses"], rel=2e-5, abs=1e-6)
        for kind in ("gradients", "running"):
            assert found[kind].keys() == alone[kind].keys()
            for part, values in alone[kind].items():
                scale = max(np.abs(values).max(), 1e-3)
                np.testing.assert_allclose(
                    found[kind][part], values, rtol=0, atol=2e-3 * scale, err_msg=part
                )


def test_a_share_alone_has_other_losses() -> None:
    """Without the negatives of the other process: a difference that the test above would see."""
    whole = together.learned("tris")["losses"]
    batch = together.networks.batch(together.ROWS, images=together.IMAGES)
    network = together.NETWORKS["tris"]().train()
    share = network(together.share(batch, 0, 2))[1]
    assert abs(share["contrast"].item() / whole["contrast"] - 1) > 0.05


def test_a_whole_training_ends_where_one_process_ends(folder: Path) -> None:
    layout = together.train(folder / "alone", devices=1)
    two = Layout.of(together.config(folder, devices=2))
    for stage, run in (("localizer", "weak"), ("segmentor", "supervised")):
        curves = [tiny.curve(each.curves(run, stage)) for each in (layout, two)]
        assert len(curves[0]) == len(curves[1]) > 4
        for expected, found in zip(*curves, strict=True):
            for column, value in expected.items():
                assert float(found[column]) == pytest.approx(float(value), rel=1e-3), column
    ones, twos = load_file(layout.localizer("weak")), load_file(two.localizer("weak"))
    assert ones.keys() == twos.keys()
    for name, value in ones.items():
        torch.testing.assert_close(twos[name], value, rtol=1e-2, atol=1e-3, msg=name)
    expected = together.metrics(folder / "alone", devices=1)
    found = together.metrics(folder, devices=2)
    assert {
        "rungs.response.train.PointM.value",
        "rungs.segmentor.train.mIoU.value",
    } <= expected.keys()
    assert found == pytest.approx(expected, abs=0.2)  # percent


@pytest.mark.timeout(900)
def test_told_to_go_they_save_and_the_rest_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    """SIGTERM to torchrun, in the middle of an epoch."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]

    def train(folder: Path, *, until: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*torchrun, "--nproc-per-node=2", "-m", "tests.training.tiny", str(folder), str(until)],
            cwd=real.ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=240,
        )

    stopped = train(tmp_path / "stopped", until=8)
    assert stopped.returncode != 0
    assert not (tmp_path / "stopped" / "weights.safetensors").exists()
    for folder in ("stopped", "whole"):
        done = train(tmp_path / folder, until=-1)
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("resumes after step 9" in done.stderr) == (folder == "stopped")
    found = [
        (tmp_path / name / "weights.safetensors").read_bytes() for name in ("stopped", "whole")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("sampling", ["expressions", "referents", "images"])
def test_no_expression_is_seen_twice_and_none_is_missed(sampling: str) -> None:
    source = tiny.batches(sampling=sampling, distinct_referents=False)
    stop = 2 * len(source)
    alone = source.stream(start=0, stop=stop, rank=0, world=1)
    shares = [source.stream(start=0, stop=stop, rank=rank, world=3) for rank in range(3)]

    def seen(batches: Any) -> list[tuple[int, ...]]:
        return sorted(
            key
            for batch in batches
            for key in zip(batch.ref_ids.tolist(), batch.text_ids.tolist(), strict=True)
        )

    for whole, *parts in zip(alone, *shares, strict=True):
        assert seen(parts) == seen([whole])
        assert sum(len(part.images) for part in parts) == len(whole.images)


def test_alone_nothing_is_copied() -> None:
    rows = torch.randn(3, 2)
    assert processes.gathered(rows) is rows and processes.summed(rows) is rows
    assert processes.batch_mean(rows[0, 0], 3) == rows[0, 0]
    assert processes.rows_before(rows) == 0 and processes.count() == 1 and processes.is_first()


def test_the_shared_norm_of_one_process_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.BatchNorm2d(3))
    share_batch_norms(ours, gpu=False)
    assert isinstance(ours[0], SharedBatchNorm)
    for _ in range(2):
        images = torch.randn(4, 3, 5, 5) * 2 + 1
        first, second = images.clone().requires_grad_(), images.clone().requires_grad_()
        torch.testing.assert_close(ours(first), theirs(second))
        ours(first).square().sum().backward()
        theirs(second).square().sum().backward()
        torch.testing.assert_close(first.grad, second.grad)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_several_nodes_need_a_slurm_job() -> None:
    with pytest.raises(InputError, match=r"machine\.nodes: 2 nodes .* only in a Slurm job"):
        _command({}, host="here", devices=1, nodes=2, threads=1)
    words = _command({"SLURM_JOB_ID": "7"}, host="here", devices=4, nodes=2, threads=8)
    assert words[:5] == [
        "srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=8",
    ]  # fmt: skip
    assert {"--nproc-per-node=4", "--nnodes=2", "--rdzv-endpoint=here:20007"} <= set(words)


def test_a_started_process_starts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*command: object) -> None:
        raise AssertionError(command)

    monkeypatch.setattr(os, "execvp", refuse)
    launch(["train-localizer"], devices=1, nodes=1, threads=1)
    monkeypatch.setenv(STARTED, "7")
    launch(["train-localizer"], devices=2, nodes=1, threads=1)
    monkeypatch.delenv(STARTED)
    with pytest.raises(AssertionError, match=r"torch\.distributed\.run"):
        launch(["train-localizer"], devices=2, nodes=1, threads=1)


def test_a_batch_smaller_than_the_processes_is_told() -> None:
    source = tiny.batches(batch_size=2)
    with pytest.raises(InputError, match="larger batch_size or fewer devices"):
        list(source.stream(start=0, stop=1, rank=2, world=3))
