"""What the tests ask a running Slurm, by its own command line."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
    """Until `condition` holds; TimeoutError names what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} seconds there is still no {what}")
        time.sleep(0.1)


@dataclass(frozen=True)
class SlurmJob:
    """A job as squeue tells of it; `comment` names its rule and wildcards."""

    number: int
    comment: str
    partition: str
    state: str
    start: str
    end: str
    memory: str
    nodes: int

    @classmethod
    def of(cls, line: str) -> SlurmJob:
        number, *words, nodes = line.split("|")
        return cls(int(number), *words, int(nodes))

    def overlaps(self, other: SlurmJob) -> bool:
        """Whether both ran at some second; times are of one form and length."""
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True)
class Slurm:
    """A running Slurm, and its command line."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """What its clients need beside the environment."""
        return {"SLURM_CONF": str(self.state / "slurm.conf")}

    def call(self, *command: str) -> str:
        """What ``sinfo``, ``scancel`` and the like print; they never wait for ever."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def jobs(self, rule: str = "") -> list[SlurmJob]:
        """The jobs of a rule (and what else its name begins), or all; the ended ones too."""
        columns = "--format=%A|%k|%P|%T|%S|%e|%m|%D"
        lines = self.call("squeue", "--noheader", "--states=all", columns).splitlines()
        found = sorted((SlurmJob.of(line) for line in lines), key=lambda job: job.number)
        return [job for job in found if job.comment.startswith(f"rule_{rule}")]

    def nodes(self) -> dict[str, str]:
        """Node -> state, as `idle` or `drained`."""
        lines = self.call("sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%N %T")
        return dict(line.split() for line in lines.splitlines())
