"""kill -9 in the middle of an epoch of the real step: localizer, frozen critic, tables, pictures."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.training import real, tiny


def test_killed_and_started_again_ends_in_the_same_bits(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    for name in ("whole", "killed"):
        real.write_inputs(tmp_path / name)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.training.real", str(folder), "11"],
        cwd=real.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list(folder.rglob("localizer.safetensors"))
    [growing] = (folder / "artifacts" / "checkpoints").rglob("*.csv")
    rows = growing.read_text().splitlines()
    assert len(rows) == 1 + 11  # three steps more than the checkpoint at the end of the epoch

    weights, curves = real.train(folder)
    expected_weights, expected_curves = real.train(tmp_path / "whole")
    assert weights == expected_weights
    assert tiny.curve(curves) == tiny.curve(expected_curves)
