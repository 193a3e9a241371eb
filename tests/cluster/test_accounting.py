"""The profile on a cluster with accounting: an account to give, and sacct to ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Slurm
from tests.cluster.conftest import edit_profile, skip_unless
from tests.cluster.slurm import ACCOUNT, running_slurm
from tests.conftest import reduced_copy

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    skip_unless(accounting=True)
    with running_slurm(accounting=True) as running:
        yield running


def test_jobs_are_charged_to_the_account_and_watched_by_sacct(slurm: Slurm, tmp_path: Path) -> None:
    clone = reduced_copy(tmp_path / "clone", machine={"shards": 1})
    edit_profile(
        clone,
        ("slurm-no-account: true", ""),
        ("slurm-status-command: squeue", "slurm-status-command: sacct"),
        ("default-resources:", f"default-resources:\n  slurm_account: {ACCOUNT}"),
    )
    target = "artifacts/datasets/miniature/expressions.parquet"
    done = clone.call("snakemake", "--cores", "all", "--profile", "slurm", target, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert (clone.root / target).is_file()
    told = slurm.call("sacct", "--allusers", "-X", "-n", "-P", "--format=Account,State,Partition")
    assert re.findall(rf"{ACCOUNT}\|COMPLETED\|cpu", told) == [f"{ACCOUNT}|COMPLETED|cpu"] * 2
