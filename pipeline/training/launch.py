"""From one process to the processes of a training: torchrun on a node, srun over several."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence

from pipeline.safety import InputError

STARTED = "TORCHELASTIC_RUN_ID"  # torchrun sets it in the processes that it starts


def launch(arguments: Sequence[str], *, devices: int, nodes: int, threads: int) -> None:
    """Run `ris` with `arguments` in `devices` processes on each of `nodes` nodes, in its place.

    Returns only where there is nothing to start: for a single process, and in those started.

    Args:
        threads: of all processes of a node together.

    Raises:
        InputError: several nodes outside of a Slurm job.
    """
    if devices * nodes == 1 or STARTED in os.environ:
        return
    command = _command(
        os.environ, host=socket.gethostname(), devices=devices, nodes=nodes, threads=threads
    )
    # `--`: or torchrun would take our options for abbreviations of its own
    os.execvp(command[0], [*command, "-m", "pipeline.cli", "--", *arguments])


def _command(
    environment: Mapping[str, str], *, host: str, devices: int, nodes: int, threads: int
) -> list[str]:
    """The words before `-m pipeline.cli`. `host`: this machine, the first of the nodes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={devices}"]
    if nodes == 1:
        return [*torchrun, "--standalone"]
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        raise InputError(
            f"machine.nodes: {nodes} nodes can train together only in a Slurm job; start it with "
            "snakemake --profile slurm, or set machine.nodes to 1"
        )
    # one torchrun a node; they meet at a port that other jobs of the node hardly have
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    meet = ["--rdzv-backend=c10d", f"--rdzv-endpoint={host}:{20000 + int(job) % 20000}"]
    return [
        *srun,
        f"--cpus-per-task={threads}",
        *torchrun,
        f"--nnodes={nodes}",
        *meet,
        f"--rdzv-id={job}",
    ]
