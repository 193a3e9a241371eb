"""``python -m benchmarks.peak VERB ...``: ``ris VERB ...`` that says its peak memory at the end."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory() -> float:
    """Largest resident size of this process so far in MiB.

    Linux tells it of the program alone; `getrusage` there counts in the parent that started it.
    """
    if STATUS.exists():
        words = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(words["VmHWM"].split()[0]) / 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    from pipeline.cli import main

    try:
        main()
    finally:
        print(f"peak {peak_memory():.1f}", flush=True)
