"""A whole Slurm of two nodes on this machine, for the time of a test.

munged, slurmctld, a slurmd a node and, for accounting, mariadbd and slurmdbd run in the foreground
as children of the tests, on loopback and ports of their own, and are stopped by their process ids;
if the tests are killed the kernel stops them. The system's own munge, Slurm and database are not
touched: where /etc/slurm already describes a cluster, nothing is started.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.client import Slurm, wait_for

ETC = Path("/etc/slurm")
NEEDED = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "setpriv")
FOR_ACCOUNTING = ("slurmdbd", "sacct", "sacctmgr", "mariadbd", "mariadb-install-db")
NODES = ("worker1", "worker2")
ACCOUNT = "lab"
PREFIX = "slurm-of-tests-"
GPUS = 2  # of every node; devices that exist, and compute nothing


def lacking(*, accounting: bool) -> str | None:
    """Why no Slurm can be started here; None if one can."""
    programs = (*NEEDED, *(FOR_ACCOUNTING if accounting else ()))
    if missing := [program for program in programs if shutil.which(program) is None]:
        return f"{', '.join(missing)} not installed (bash tests/cluster/install.sh installs them)"
    if getpass.getuser() != "root":
        return "only root can start slurmd"
    if os.path.lexists(ETC / "slurm.conf") and not _is_left_over(ETC / "slurm.conf"):
        return f"{ETC}/slurm.conf belongs to another Slurm"
    return None


def _is_left_over(link: Path) -> bool:
    """Whether a link is ours, of tests that were killed: the controller it led to is no more."""
    if not link.is_symlink() or not link.readlink().parent.name.startswith(PREFIX):
        return False
    try:
        os.kill(int((link.readlink().parent / "slurmctld.pid").read_text()), 0)
    except (OSError, ValueError):
        return True
    return False


@contextmanager
def running_slurm(*, accounting: bool) -> Iterator[Slurm]:
    """Start a Slurm of two nodes with two GPUs each and the partitions `cpu` and `gpu`."""
    with ExitStack() as stack:
        state = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))  # a socket's path must be short
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        state.chmod(0o755)
        (state / "ctld").mkdir(mode=0o700)
        slurm = Slurm(state)
        _start_munge(stack, state)
        ports = _free_ports(3 + len(NODES))
        if accounting:
            _start_accounting(stack, state, *ports[:2])
        _write_configuration(state, accounting, *ports[1:])
        _publish(stack, state)
        if accounting:
            slurm.call("sacctmgr", "--immediate", "add", "cluster", "loopback")
            slurm.call("sacctmgr", "--immediate", "add", "account", ACCOUNT)
            slurm.call("sacctmgr", "--immediate", "add", "user", "root", f"account={ACCOUNT}")
        _start(stack, state, "slurmctld", "-D", "-f", str(state / "slurm.conf"))
        for node in NODES:
            _start(stack, state, "slurmd", "-D", "-f", str(state / "slurm.conf"), "-N", node)
        stack.callback(_cancel_all, slurm)
        wait_for(lambda: set(_nodes_or_none(slurm).values()) == {"idle"}, "idle nodes")
        yield slurm


def _start(stack: ExitStack, state: Path, *command: str) -> None:
    """A daemon in the foreground; it ends with the stack, or with the tests."""
    log = stack.enter_context((state / f"{command[0]}.log").open("a"))
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | {"SLURM_CONF": str(state / "slurm.conf")},
    )
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _cancel_all(slurm: Slurm) -> None:
    """Leave no process of a job behind."""
    slurm.call("scancel", f"--user={getpass.getuser()}")
    alive = ("PENDING", "RUNNING", "COMPLETING")
    wait_for(lambda: not any(job.state in alive for job in slurm.jobs()), "the end of all jobs")


def _nodes_or_none(slurm: Slurm) -> dict[str, str]:
    try:
        return slurm.nodes()
    except (RuntimeError, subprocess.TimeoutExpired):
        return {}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start_munge(stack: ExitStack, state: Path) -> None:
    """With a key of its own. `--force`: folders under /tmp are not as private as it likes."""
    folder = state / "munge"
    folder.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    files = {"key-file": key, "socket": folder / "socket", "pid-file": folder / "pid"}
    files |= {"log-file": state / "munge.log", "seed-file": folder / "seed"}
    options = [f"--{name}={path}" for name, path in files.items()]
    _start(stack, state, "munged", "--foreground", "--force", *options)

    def answers() -> bool:
        ask = ["munge", f"--socket={files['socket']}", "--no-input"]
        return subprocess.run(ask, capture_output=True, check=False).returncode == 0

    wait_for(answers, "munge")


def _start_accounting(stack: ExitStack, state: Path, database: int, port: int) -> None:
    """A database on loopback that lets everybody in, for a minute, and slurmdbd on `port`."""
    data = state / "database"
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=root"]
    subprocess.run(
        [*install, "--skip-test-db", "--auth-root-authentication-method=normal"],
        check=True,
        capture_output=True,
    )
    _start(
        stack,
        state,
        *("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-grant-tables"),
        *("--bind-address=127.0.0.1", f"--port={database}", f"--socket={state / 'mysql.socket'}"),
        *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
        f"--pid-file={state / 'mysql.pid'}",
    )
    wait_for(lambda: _listens(database), "database")
    settings = state / "slurmdbd.conf"
    settings.touch(mode=0o600)
    settings.write_text(
        f"""AuthType=auth/munge
AuthInfo=socket={state}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
PidFile={state}/slurmdbd.pid
"""
    )
    _start(stack, state, "slurmdbd", "-D")
    wait_for(lambda: _listens(port), "slurmdbd")


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _write_configuration(
    state: Path, accounting: bool, dbd: int, controller: int, *nodes: int
) -> None:
    host, cpus = socket.gethostname().split(".")[0], max(2, os.cpu_count() or 1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10
    for index in range(GPUS):  # a gres without a character device would be ignored
        os.mknod(state / f"gpu{index}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    storage = "slurmdbd" if accounting else "none"
    reach = ["AccountingStorageHost=127.0.0.1", f"AccountingStoragePort={dbd}"]
    reach.append(f"AccountingStoragePass={state}/munge/socket")
    lines = [
        "ClusterName=loopback",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={controller}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={state}/munge/socket",
        "CredType=cred/munge",
        "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
        "MpiDefault=none",
        f"SlurmctldPidFile={state}/slurmctld.pid",
        f"SlurmdPidFile={state}/slurmd-%n.pid",
        f"StateSaveLocation={state}/ctld",
        f"SlurmdSpoolDir={state}/slurmd-%n",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=1",
        "JobAcctGatherParams=OverMemoryKill",
        f"AccountingStorageType=accounting_storage/{storage}",
        *(reach if accounting else []),
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2",
        "SlurmdParameters=config_overrides",  # two nodes on one machine: each claims half of it
        "GresTypes=gpu",
        "ReturnToService=2",
        "KillWait=5",
        "InactiveLimit=0",
        "MinJobAge=900",  # a finished job stays in squeue long enough to be asked for
        "PropagateResourceLimits=NONE",
    ]
    for node, port in zip(NODES, nodes, strict=True):
        lines.append(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} Sockets=1 "
            f"CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory // 2} Gres=gpu:{GPUS}"
        )
    everywhere = f"Nodes={','.join(NODES)} MaxTime=INFINITE State=UP OverSubscribe=NO"
    lines += [f"PartitionName=cpu {everywhere} Default=YES", f"PartitionName=gpu {everywhere}"]
    (state / "slurm.conf").write_text("\n".join(lines) + "\n")
    devices = f"Name=gpu File={state}/gpu[0-{GPUS - 1}]"
    (state / "gres.conf").write_text("".join(f"NodeName={n} {devices}\n" for n in NODES))


def _publish(stack: ExitStack, state: Path) -> None:
    """Links in /etc/slurm: SLURM_CONF does not reach the steps of a job."""
    if not ETC.is_dir():
        ETC.mkdir(parents=True)
        stack.callback(ETC.rmdir)
    for name in ("slurm.conf", "gres.conf"):
        (ETC / name).unlink(missing_ok=True)  # left over
        (ETC / name).symlink_to(state / name)
        stack.callback((ETC / name).unlink)
