"""kill -9 in the middle of an epoch of the real step, frozen critic and all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import real, tiny


def test_killed_and_started_again_ends_in_the_same_bits(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real.write_inputs(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-m", "tests.training.real", str(tmp_path), "11"],
        cwd=real.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not list(tmp_path.rglob("localizer.safetensors"))
    [growing] = (tmp_path / "artifacts" / "checkpoints").rglob("*.csv")
    rows = growing.read_text().splitlines()
    assert len(rows) == 1 + 11  # three steps more than the checkpoint at the end of the epoch

    weights, curves = real.train(tmp_path)
    assert "resumes after step 8" in capfd.readouterr().err
    rows_of_resumed = tiny.curve(curves)
    assert real.train(tmp_path)[0] == weights
    assert "resumes" not in capfd.readouterr().err
    assert tiny.curve(curves) == rows_of_resumed
