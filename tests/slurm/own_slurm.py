"""A SLURM of one node on this machine, in a folder of its own, for as long as a test needs it."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel")
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PATIENCE_SECONDS = 240
"""Until something that does not come counts as a fault; other work may take the machine."""
UNDER_WAY = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")

Finesight = Callable[..., subprocess.CompletedProcess[str]]
"""Runs the command line where SLURM is."""

CONFIGURATION = """
ClusterName=finesight
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A job that was put back starts again when its credential has expired: in two minutes, were it not for this.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# Files stand for the GPUs: nothing looks into them.
GPUS = "AutoDetect=off\nNodeName={host} Name=gpu File={folder}/gpu[0-1]\n"


def missing_programs() -> list[str]:
    """Return which of SLURM's programs are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


@dataclass(frozen=True)
class OwnSlurm:
    """A SLURM that runs."""

    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """Return what one of SLURM's programs prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def job(self, number: str) -> dict[str, str]:
        """Return what SLURM says of a job: JobState, Restarts, ExitCode and more."""
        words = self.ask("scontrol", "show", "job", number).split()
        return {name: value for name, _, value in (word.partition("=") for word in words)}

    def ended(self, number: str) -> dict[str, str]:
        """Wait until a job has ended, and return what SLURM says of it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (job := self.job(number))["JobState"] in UNDER_WAY:
            assert time.monotonic() < end, f"job {number} has not ended: {job['JobState']} {job['Reason']}"
            time.sleep(0.2)
        return job


@contextmanager
def own_slurm(folder: Path) -> Iterator[OwnSlurm]:
    """Yield a SLURM that is ready for jobs; it ends with the block. `folder` must be empty, and its path short."""
    names = {
        "folder": folder,
        "host": socket.gethostname().split(".")[0],
        "user": getpass.getuser(),
        "cores": os.cpu_count(),
        "controller_port": _free_port(),
        "node_port": _free_port(),
    }
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for name in ("gpu0", "gpu1"):
        (folder / name).touch()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(**names), encoding="utf-8")
    (folder / "gres.conf").write_text(GPUS.format(**names), encoding="utf-8")
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    slurm = OwnSlurm({**os.environ, "PATH": SEARCHED, "SLURM_CONF": str(configuration)})
    try:
        slurm.ask(
            "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed",
        )  # fmt: skip
        slurm.ask("slurmctld", "-f", str(configuration))
        slurm.ask("slurmd", "-f", str(configuration))
        _wait_until_idle(slurm, folder)
        yield slurm
        slurm.ask("scancel", "--full", f"--user={getpass.getuser()}")
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            _end(folder / f"{name}.pid")


def _wait_until_idle(slurm: OwnSlurm, folder: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while slurm.ask("sinfo", "--noheader", "--format=%T").strip() != "idle":
        if time.monotonic() > end:
            raise TimeoutError((folder / "slurmctld.log").read_text(encoding="utf-8")[-2000:])
        time.sleep(0.2)


def _end(pid_file: Path) -> None:
    """End a service by the number that it has written down, and wait until it is gone."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text(encoding="utf-8"))
    os.kill(pid, 15)
    end = time.monotonic() + PATIENCE_SECONDS
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
