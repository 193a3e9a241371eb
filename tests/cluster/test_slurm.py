"""The workflow on a real Slurm: shards side by side, and every way to lose a job on the way."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.client import Slurm, wait_for
from tests.cluster.conftest import edit_profile, skip_unless
from tests.cluster.slurm import NODES, running_slurm
from tests.conftest import Trained, reduced_copy
from tests.repository import Copy
from tests.training import tiny

pytestmark = pytest.mark.timeout(900)

ON_SLURM = ("snakemake", "--cores", "all", "--profile", "slurm")
LOCALIZER = "artifacts/runs/weak/localizer.safetensors"
CURVES = "artifacts/runs/weak/localizer_curves.csv"
# one row of the curves a step, and an epoch long enough to be interrupted in the middle
SLOWLY = "localizer={training: {sampling: expressions, batch_size: 2, epochs: 3, curve_steps: 1}}"

PCNET = ("runs={pcnet: {localizer: {method: pcnet}}}", "cues={backend: rules}")


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """Without accounting, as a small group's own."""
    skip_unless(accounting=False)
    with running_slurm(accounting=False) as running:
        yield running


@pytest.fixture(scope="module")
def submitted(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """``snakemake --cores all --profile slurm`` from nothing, in two shards."""
    clone = reduced_copy(tmp_path_factory.mktemp("submitted"), machine={"shards": 2})
    edit_profile(clone)
    done = clone.call(*ON_SLURM, timeout=850)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return Trained(clone, done.stdout + done.stderr)


@pytest.fixture
def clone(submitted: Trained, tmp_path: Path) -> Copy:
    """A copy of the clone after its run, for a test to disturb."""
    shutil.copytree(submitted.root, tmp_path / "clone", symlinks=True)
    return Copy(tmp_path / "clone")


def test_a_run_on_slurm_ends_as_a_run_on_one_machine(
    slurm: Slurm, submitted: Trained, trained: Trained
) -> None:
    """Bit for bit; the one machine made everything in one shard."""
    for path in ("results/metrics.json", LOCALIZER, "artifacts/runs/weak/predictions.parquet"):
        assert (submitted.root / path).read_bytes() == (trained.root / path).read_bytes(), path
    networks = ("pretrain", "train_localizer", "respond", "train_segmentor", "segment")
    assert all(job.partition == "gpu" for rule in networks for job in slurm.jobs(rule)[:1])
    assert all(job.partition == "cpu" for job in slurm.jobs("refine")[:2])
    assert "patience=50" not in submitted.said  # the login node's cores hold no job back


@pytest.mark.parametrize("rule", ["propose", "refine"])
def test_shards_run_side_by_side(slurm: Slurm, submitted: Trained, rule: str) -> None:
    first, second = slurm.jobs(rule)[:2]
    assert {first.comment[-1], second.comment[-1]} == {"0", "1"}
    assert first.overlaps(second)


def test_pcnets_cues_and_proposals_are_made_side_by_side(
    slurm: Slurm, trained: Trained, tmp_path: Path
) -> None:
    """Two shards of each, then two processes that train together in one task of one node.

    The same weights as on this machine, bit for bit, where two processes learn from one shard.
    """
    alone, clone = (
        Copy(shutil.copytree(trained.root, tmp_path / name, symlinks=True))
        for name in ("alone", "clone")
    )
    edit_profile(clone)
    wanted = "artifacts/runs/pcnet/localizer.safetensors"
    before = len(slurm.jobs())
    process = clone.start(*ON_SLURM, wanted, "--config", *PCNET, "machine={devices: 2, shards: 2}")
    undisturbed = alone.call(
        *("snakemake", "--cores", "all", wanted, "--config", *PCNET),
        "machine={devices: 2, shards: 1}",
    )
    said = process.communicate(timeout=400)[0]
    assert process.returncode == 0, said[-5000:]

    jobs = sorted(slurm.jobs(), key=lambda job: job.number)[before:]
    assert {job.state for job in jobs} == {"COMPLETED"}
    *shards, training = jobs
    expected = [f"rule_{rule}_wildcards_{n}" for rule in ("decompose", "propose") for n in "01"]
    assert sorted(job.comment for job in shards) == expected
    assert all(one.overlaps(other) for one in shards for other in shards)
    assert "train_localizer" in training.comment and training.partition == "gpu"
    assert undisturbed.returncode == 0, undisturbed.stderr[-5000:]
    learned = [tensors((copy.root / wanted).read_bytes()) for copy in (clone, alone)]
    assert learned[0] == learned[1]


def test_too_little_memory_then_preempted_in_an_epoch_then_the_same_weights(
    slurm: Slurm, clone: Copy, tmp_path: Path
) -> None:
    """Resources grow with the attempt; a job told to go saves, fails, and is submitted again."""
    shutil.copytree(clone.root, tmp_path / "alone", symlinks=True)
    alone = Copy(tmp_path / "alone")
    before = len(slurm.jobs("train_localizer"))
    process = clone.start(
        *(*ON_SLURM, LOCALIZER, "--config", SLOWLY),
        *("--set-resources", "train_localizer:mem_mb=400*attempt**2"),
    )
    wait_for(lambda: len(slurm.jobs("train_localizer")) == before + 2, "second attempt", seconds=90)
    second = slurm.jobs("train_localizer")[-1]
    wait_for(lambda: rows(clone.root) > 10, "steps of the second attempt", seconds=90)
    slurm.call("scancel", "--signal=TERM", str(second.number))
    undisturbed = alone.call("snakemake", "--cores", "all", LOCALIZER, "--config", SLOWLY)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said[-5000:]

    attempts = slurm.jobs("train_localizer")[before:]
    assert [job.memory for job in attempts] == ["400M", "1600M", "3600M"]
    assert [job.state for job in attempts][1:] == ["FAILED", "COMPLETED"]
    assert attempts[0].state in ("FAILED", "OUT_OF_MEMORY")
    log = (clone.root / "logs" / "train_localizer-weak.log").read_text()
    resumed = re.search(r"resumes after step (\d+)", log)
    steps = len(tiny.curve(clone.root / CURVES))
    assert resumed and 10 < int(resumed[1]) < steps and int(resumed[1]) % (steps // 3) != 0

    assert undisturbed.returncode == 0, undisturbed.stderr[-5000:]
    assert (clone.root / LOCALIZER).read_bytes() == (alone.root / LOCALIZER).read_bytes()
    assert tiny.curve(clone.root / CURVES) == tiny.curve(alone.root / CURVES)


def test_cancelled_drained_and_resumed_ends_in_the_same_labels(slurm: Slurm, clone: Copy) -> None:
    paths = [f"artifacts/runs/weak/pseudo_labels/{shard}-of-2.parquet" for shard in range(2)]
    expected = [(clone.root / path).read_bytes() for path in paths]
    for path in paths:
        (clone.root / path).unlink()
    before = len(slurm.jobs("refine"))
    with drained(slurm):
        process = clone.start(*ON_SLURM, *paths)
        wait_for(lambda: len(slurm.jobs("refine")) == before + 2, "submitted shards")
        assert {job.state for job in slurm.jobs("refine")[before:]} == {"PENDING"}
    wait_for(
        lambda: "RUNNING" in [job.state for job in slurm.jobs("refine")[before:]], "running shard"
    )
    running = [job for job in slurm.jobs("refine")[before:] if job.state == "RUNNING"]
    slurm.call("scancel", str(running[0].number))
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said[-5000:]
    states = sorted(job.state for job in slurm.jobs("refine")[before:])
    assert states == ["CANCELLED", "COMPLETED", "COMPLETED"]
    assert [(clone.root / path).read_bytes() for path in paths] == expected


def test_a_training_on_two_nodes_sees_what_one_process_sees(slurm: Slurm, clone: Copy) -> None:
    """srun on both nodes, a process on each: the losses of one within the sums of floats."""
    alone = tiny.curve(clone.root / CURVES)
    (clone.root / LOCALIZER).unlink()
    done = clone.call(*ON_SLURM, LOCALIZER, "--config", "machine={nodes: 2}", timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    last = slurm.jobs("train_localizer")[-1]
    assert last.state == "COMPLETED" and last.nodes == 2
    together = tiny.curve(clone.root / CURVES)
    assert len(together) == len(alone)
    for column, value in alone[0].items():
        assert float(together[0][column]) == pytest.approx(float(value), rel=0.02), column


@contextmanager
def drained(slurm: Slurm) -> Iterator[None]:
    """No node takes a new job within the block."""
    nodes = ("scontrol", "update", f"nodename={','.join(NODES)}")
    slurm.call(*nodes, "state=drain", "reason=maintenance")
    try:
        yield
    finally:
        slurm.call(*nodes, "state=resume")


def rows(root: Path) -> int:
    """Rows of the growing curves of the localizer's training."""
    paths = list(root.glob("artifacts/checkpoints/weak-train_localizer-*/curves-*.csv"))
    return max((len(path.read_text().splitlines()) for path in paths), default=0)


def tensors(content: bytes) -> bytes:
    """Without the header of safetensors, which names the files that were learned from."""
    return content[8 + int.from_bytes(content[:8], "little") :]
