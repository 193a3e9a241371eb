"""Copies of this repository as a fresh clone has it, and programs run in them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HIDDEN = ("SNAKEMAKE_PROFILE", "DVC_STAGE", "DVC_ROOT", "GIT_DIR", "GIT_INDEX_FILE")


@dataclass(frozen=True)
class Copy:
    """A copy of the repository at ``root``."""

    root: Path

    def call(self, *command: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        """Run ``python -m <command>`` there, with this interpreter, as from a plain shell."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """The same without waiting for its end; in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_hears_interrupts,
        )


def _hears_interrupts() -> None:
    """What a shell starts in the background ignores interrupts, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _environment() -> dict[str, str]:
    """With this interpreter's folder on the path, as the README asks for."""
    kept = {key: value for key, value in os.environ.items() if key not in HIDDEN}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | {"OMP_NUM_THREADS": "1", "PATH": path}


def copy_repository(target: Path) -> Copy:
    """All files that git knows or would take in, in a git repository of their own."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not one that was deleted and is not committed yet
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    return Copy(target)
