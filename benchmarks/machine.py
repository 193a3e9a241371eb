"""What the benchmarks ran on: enough to judge the numbers, nothing that names the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, str]:
    """Processor model and cores, interpreter, torch, and the commit that was measured."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": version("torch"),
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit, and whether files of the tree differ from it."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *words], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with uncommitted changes" if changes else commit
