"""What runs: the whole flow from nothing, nothing when up to date, the dependents of a change."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import AFTER_THE_LOCALIZER, Workspace


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """``path`` with the first ``old`` replaced by ``new``, for the time of the block."""
    before, times = path.read_bytes(), path.stat()
    text = before.decode()
    assert old in text, f"{path} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_run_from_nothing_has_every_step(workspace: Workspace) -> None:
    stages = {job.stage for job in workspace.jobs}
    shared = {"miniature", "captions", "pretrain", "tables", "propose", "report"}
    weak = {"train_localizer-weak", *AFTER_THE_LOCALIZER}
    assert stages >= shared | weak
    assert "train_segmentor-supervised" in stages
    assert not {"train_localizer-supervised", "refine-supervised"} & stages


def test_only_the_supervised_run_reads_the_truth_to_learn(workspace: Workspace) -> None:
    readers = {
        job.stage for job in workspace.jobs if any("truth.parquet" in path for path in job.inputs)
    }
    learners = {stage for stage in readers if not stage.startswith(("evaluate", "report"))}
    assert learners == {"train_segmentor-supervised"}


def test_every_input_is_made_by_a_job_or_is_source_code(workspace: Workspace) -> None:
    made = {path for job in workspace.jobs for path in job.outputs}
    left = {path for job in workspace.jobs for path in job.inputs} - made
    assert left and all(re.fullmatch(r"pipeline/.*\.(py|j2|css)", path) for path in left)


def test_nothing_runs_when_nothing_changed(workspace: Workspace) -> None:
    assert workspace.planned() == set()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "localizer={training: {epochs: 99}}",
            {"train_localizer-weak", *AFTER_THE_LOCALIZER},
        ),
        (
            "runs={supervised: {segmentor: {training: {epochs: 99}}}}",
            {
                "train_segmentor-supervised",
                "segment-supervised",
                "evaluate-supervised",
                "report",
            },
        ),
        (
            "evaluation={bootstrap: 7}",
            {"evaluate-weak", "evaluate-supervised", "report"},
        ),
        (
            "pseudo_labels={splits: [train]}",
            {"propose", "refine-weak", "train_segmentor-weak", "segment-weak"}
            | {"evaluate-weak", "evaluate-supervised", "report"},
        ),
        ("report={gallery: 3}", {"report"}),
        ("machine={evaluation_batch: 3}", set()),
    ],
    ids=["localizer", "one run", "evaluation", "splits", "report", "machine"],
)
def test_a_changed_key_runs_exactly_what_depends_on_it(
    workspace: Workspace, change: str, expected: set[str]
) -> None:
    assert workspace.planned("--config", change) == expected


def test_a_new_run_shares_what_its_settings_share(workspace: Workspace) -> None:
    planned = workspace.planned("--config", "runs={other: {pseudo_labels: {crf: {iterations: 3}}}}")
    assert planned == {
        "refine-other",
        "train_segmentor-other",
        "segment-other",
        "evaluate-other",
        "report",
    }


def test_edited_code_runs_exactly_the_steps_that_import_it(workspace: Workspace) -> None:
    steps = workspace.root / "pipeline" / "steps"
    with edited(steps / "report.py", "\n", "\n# edited\n"):
        assert workspace.planned() == {"report"}
    with edited(workspace.root / "pipeline" / "report" / "template.html.j2", "\n", "\n\n"):
        assert workspace.planned() == {"report"}
    with edited(steps / "evaluate.py", "\n", "\n# edited\n"):
        assert workspace.planned() == {"evaluate-weak", "evaluate-supervised", "report"}


def test_a_wrong_key_is_named_without_a_traceback(workspace: Workspace) -> None:
    done = workspace.call("snakemake", "--dry-run", "--config", "localizer={hiden: 3}")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "localizer.hiden: unknown key" in text
    assert "Traceback" not in text


NETWORKS = {"pretrain", "train_localizer", "respond", "train_segmentor", "segment"}
PCNET = "localizer={method: pcnet}"
IRNET = "pseudo_labels={refine: [irnet]}"
SAM = ("proposals={method: sam}", "pseudo_labels={refine: [sam_prompt, irnet]}")


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ((), set()),
        ((PCNET, IRNET), {"pretrain_llm", "train_irnet"}),
        (
            (PCNET, *SAM),
            {"pretrain_llm", "train_irnet", "pretrain_sam"} | {"propose", "refine", "label_irnet"},
        ),
    ],
    ids=["default", "cues and IRNet", "SAM"],
)
def test_the_slurm_profile_asks_for_gpus_where_networks_run(
    workspace: Workspace, changes: tuple[str, ...], more: set[str]
) -> None:
    """What proposes and refines runs a network where it asks SAM; what makes cues never does."""
    plan = ("--dry-run", "--forceall", *(["--config", *changes] if changes else []))
    done = workspace.call("snakemake", "--cores", "all", "--profile", "slurm", *plan)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^rule (\w+):$.*?resources: (.*?)$", done.stdout, re.MULTILINE | re.DOTALL)
    asked = {rule: dict(re.findall(r"(\w+)=([^,]*)", resources)) for rule, resources in found}
    with_gpu = {rule for rule, resources in asked.items() if resources["slurm_partition"] == "gpu"}
    assert with_gpu == NETWORKS | more
    for rule, resources in asked.items():
        assert resources.get("gres", "") == ("gpu:1" if rule in with_gpu else "")
        assert {"runtime", "mem_mb"} <= resources.keys()
    assert ("decompose" in asked) == (PCNET in changes)
    assert "patience=50" not in done.stdout  # the login node's cores hold no job back


def test_a_training_in_several_processes_asks_for_as_much_more(workspace: Workspace) -> None:
    plan = ("snakemake", "--cores", "8", "--dry-run", "--forceall", "--config")
    done = workspace.call(*plan, "machine={devices: 4}")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = re.findall(r"^rule (\w+):$(.*?)mem_mb=(\d+)", done.stdout, re.MULTILINE | re.DOTALL)
    memory = {rule: (int(size), "threads: " in told) for rule, told, size in jobs}
    assert memory["train_localizer"] == memory["train_segmentor"] == (12000, True)
    assert memory["respond"] == (3000, False)


def test_the_snakefile_is_in_good_form(workspace: Workspace) -> None:
    done = workspace.call("snakemake", "--lint")
    assert done.returncode == 0, done.stdout + done.stderr
