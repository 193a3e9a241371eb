"""Killed, out of disk, started twice: what is left is whole, and the next run ends as if nothing.

Each test disturbs a copy of a finished run, in which it has deleted what is to be made again, and
compares bytes with what the undisturbed run had made there. What a cluster adds is in
`tests/cluster`; kills within a single step in `tests/training` and `tests/store`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import Trained
from tests.repository import Copy

pytestmark = pytest.mark.timeout(900)

LABELS = "artifacts/runs/weak/pseudo_labels/0-of-1.parquet"
LOCALIZER = "artifacts/runs/weak/localizer.safetensors"
CUES = "artifacts/datasets/miniature/cues-0-of-1.parquet"
RUN = ("snakemake", "--cores", "all")
WITH_LLM = ("--configfile", "cues.yaml")
CUES_OVERLAY = """
small_llm:
  scenes: 30
  held_out: 20
  vocabulary: 500
  width: 32
  layers: 1
  heads: 2
  feed_forward: 32
  steps: 25
  batch_size: 16
  optimisation: { warmup_steps: 2, curve_steps: 5 }
cues: { backend: llm, llm: { max_tokens: 60, save_seconds: 0.000001 } } # each on disk at once
"""
# Of the first step that does it $COUNT times, this is the death: to open, or to give its name to, a
# file whose path ends so.
SITECUSTOMIZE = """
import os, signal, sys
if "pipeline.cli" in sys.orig_argv and not os.path.exists("died"):
    event, ending, left = os.environ["DIES_AT"].split()
    left = int(left)
    def look(name, details):
        global left
        if name == event and str(details[event == "os.rename"]).endswith(ending):
            left -= 1
            if left == 0:
                os.close(os.open("died", os.O_CREAT | os.O_WRONLY))
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)
"""


@pytest.fixture
def clone(trained: Trained, tmp_path: Path) -> Copy:
    shutil.copytree(trained.root, tmp_path / "clone", symlinks=True)
    return Copy(tmp_path / "clone")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.05)


def job_of(workflow: psutil.Process, verb: str) -> psutil.Process | None:
    """The process of `ris verb` under a workflow."""
    for process in workflow.children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "pipeline.cli" in words and verb in words:
            return process
    return None


def taken_away(clone: Copy, path: str) -> bytes:
    content = (clone.root / path).read_bytes()
    (clone.root / path).unlink()
    return content


@pytest.mark.parametrize(
    ("path", "moment"),
    [
        (LABELS, "open .jpg 20"),
        (LABELS, "os.rename 0-of-1.parquet 1"),
        (LOCALIZER, "open .jpg 20"),
        (LOCALIZER, "os.rename .ckpt 1"),
        (LOCALIZER, "os.rename localizer.safetensors 1"),
    ],
    ids=[
        "shard, at work",
        "shard, before its rename",
        "training, in an epoch",
        "training, before a checkpoint's rename",
        "training, before the weights' rename",
    ],
)
def test_a_job_is_killed(
    clone: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, moment: str
) -> None:
    expected = taken_away(clone, path)
    dies_and_is_run_again(clone, tmp_path, monkeypatch, path, moment)
    assert (clone.root / path).read_bytes() == expected
    if path == LOCALIZER:
        assert not list((clone.root / "artifacts" / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def told(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The clone after cues were made, by a small LLM that was taught for seconds."""
    for package in ("llama_cpp", "gguf"):
        pytest.importorskip(package, reason="the extra `llm` is not installed")
    clone = Copy(tmp_path_factory.mktemp("told") / "clone")
    shutil.copytree(trained.root, clone.root, symlinks=True)
    (clone.root / "cues.yaml").write_text(CUES_OVERLAY)
    done = clone.call(*RUN, CUES, *WITH_LLM)
    assert done.returncode == 0, done.stdout + done.stderr
    return clone


@pytest.mark.parametrize(
    "moment",
    ["os.rename .json 20", "os.rename cues-0-of-1.parquet 1"],
    ids=["while it asks", "before its rename"],
)
def test_a_shard_of_cues_is_killed(
    told: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    clone = Copy(shutil.copytree(told.root, tmp_path / "clone", symlinks=True))
    answers = clone.root / "artifacts" / "cue_answers"
    assert len(list(answers.rglob("*.json"))) > 40
    shutil.rmtree(answers)
    expected = taken_away(clone, CUES)
    dies_and_is_run_again(clone, tmp_path, monkeypatch, CUES, moment, *WITH_LLM)
    assert (clone.root / CUES).read_bytes() == expected


def dies_and_is_run_again(
    clone: Copy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    moment: str,
    *options: str,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DIES_AT", moment)
    died = clone.call(*RUN, path, *options)
    assert died.returncode == 1 and (clone.root / "died").exists(), died.stdout + died.stderr
    assert not (clone.root / path).exists()
    done = clone.call(*RUN, path, *options)
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakemake_itself_is_killed(clone: Copy) -> None:
    """Its job lives on; after `--unlock` the next run makes the same bytes."""
    expected = taken_away(clone, LABELS)
    process = clone.start(*RUN, LABELS)
    workflow, found = psutil.Process(process.pid), []

    def began() -> bool:
        found[:] = [job_of(workflow, "refine")]
        return found[0] is not None

    wait_for(began, "refine")
    process.kill()
    process.wait()
    refused = clone.call(*RUN, LABELS)
    assert refused.returncode != 0 and "--unlock" in refused.stdout + refused.stderr
    assert clone.call("snakemake", "--unlock").returncode == 0
    done = clone.call(*RUN, LABELS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone.root / LABELS).read_bytes() == expected
    wait_for(lambda: not found[0].is_running(), "end of the first job")
    assert (clone.root / LABELS).read_bytes() == expected


@contextmanager
def tiny_disk(folder: Path) -> Iterator[None]:
    """Sixteen kilobytes and no more in `folder`."""
    if getpass.getuser() != "root":
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("folder", "path"),
    [("artifacts/runs/weak/pseudo_labels", LABELS), ("artifacts/checkpoints", LOCALIZER)],
    ids=["shard", "checkpoint"],
)
def test_the_disk_is_full(clone: Copy, folder: str, path: str) -> None:
    expected = taken_away(clone, path)
    with tiny_disk(clone.root / folder):
        (clone.root / folder / "filler").write_bytes(bytes(12_000))
        full = clone.call(*RUN, path)
        assert full.returncode == 1
        log = "\n".join(log.read_text() for log in (clone.root / "logs").glob("*.log"))
        assert "disk is full" in log and "Traceback" not in log, log
        assert not list((clone.root / folder).rglob("*.parquet"))
        assert not list((clone.root / folder).rglob("*.ckpt"))
    done = clone.call(*RUN, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone.root / path).read_bytes() == expected


def test_two_runs_in_one_folder(clone: Copy) -> None:
    """The second refuses, even if no file is of both, and says why; the first ends well."""
    expected = taken_away(clone, LABELS)
    first = clone.start(*RUN, LABELS)
    workflow, found = psutil.Process(first.pid), []

    def began() -> bool:
        found[:] = [job_of(workflow, "refine")]
        return found[0] is not None

    wait_for(began, "refine")
    found[0].suspend()
    same = clone.call(*RUN, LABELS)
    tiny = ("--configfile", "experiments/miniature_tiny.yaml")
    other = clone.call(*RUN, "artifacts/tiny/miniature/captions.parquet", *tiny)
    found[0].resume()
    assert same.returncode != 0 and "cannot be locked" in same.stdout + same.stderr
    said = other.stdout + other.stderr
    assert other.returncode != 0 and "another run is at work in this folder" in said
    assert f"process {first.pid}, snakemake" in said and "Traceback" not in said
    told = first.communicate(timeout=120)[0]
    assert first.returncode == 0, told
    assert (clone.root / LABELS).read_bytes() == expected


def test_an_interrupt_from_the_keyboard_leaves_no_lock(clone: Copy) -> None:
    expected = taken_away(clone, LABELS)
    process = clone.start(*RUN, LABELS)
    workflow = psutil.Process(process.pid)
    found: list[psutil.Process] = []

    def is_held() -> bool:
        if (job := job_of(workflow, "refine")) is not None:
            job.suspend()  # else it may be over before the signal
            found.append(job)
        return bool(found)

    wait_for(is_held, "refine")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    found[0].resume()
    said = process.communicate(timeout=120)[0]
    assert process.returncode != 0, said
    done = clone.call(*RUN, LABELS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone.root / LABELS).read_bytes() == expected
