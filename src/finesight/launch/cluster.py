"""What a person asks of a SLURM cluster, and whether it can be written into a file that SLURM reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from finesight.errors import UserError

LEAST_WARNING_SECONDS = 60
SIGNAL_GRAIN_SECONDS = 60
"""SLURM looks at its clock so seldom that a warning may come this much too early (man sbatch, --signal)."""
_TIME = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?"
    r"|(?P<only_hours>\d+):(?P<with_minutes>\d+):(?P<with_seconds>\d+)"
    r"|(?P<only_minutes>\d+)(:(?P<and_seconds>\d+))?"
)


@dataclass(frozen=True)
class Cluster:
    """The options of `finesight launch --slurm`; what is left out is the cluster's own choice."""

    partition: str | None = None
    time: str | None = None
    gpus: int = 0
    """GPUs on each node; 0 computes on its cores."""
    gpu_type: str | None = None
    account: str | None = None
    mem: str | None = None
    cpus_per_task: int | None = None
    modules: tuple[str, ...] = ()
    venv: str | None = None
    setup: tuple[str, ...] = ()
    """Lines of shell before the run."""
    further: tuple[str, ...] = ()
    """More options of sbatch, as it takes them."""
    warning_seconds: int = 120


def require_writable(cluster: Cluster) -> None:
    """Raise `UserError` for options that SLURM could not follow."""
    texts = (cluster.partition, cluster.gpu_type, cluster.account, cluster.mem, cluster.venv)
    for text in (*texts, *cluster.modules, *cluster.setup, *cluster.further):
        require_one_line(text or "")
    if odd := [option for option in cluster.further if not option.startswith("-")]:
        raise UserError(f"--sbatch {odd[0]}: no option of sbatch", hint="as --sbatch=--qos=long")
    if cluster.warning_seconds < LEAST_WARNING_SECONDS:
        raise UserError(f"--warning-seconds {cluster.warning_seconds}: give the run at least {LEAST_WARNING_SECONDS}")
    if cluster.time is None:
        return
    least = cluster.warning_seconds + SIGNAL_GRAIN_SECONDS
    if time_limit_seconds(cluster.time) <= least:
        raise UserError(
            f"--time {cluster.time}: SLURM may warn {least} seconds before the limit, and the run stops then",
            hint="give it more time",
        )


def require_one_line(text: str) -> None:
    """Raise `UserError` for a text that would end its line of the file before it ends."""
    if not text.isprintable():
        raise UserError(f"{text!r}: a character that no line of a job file can hold")


def time_limit_seconds(text: str) -> int:
    """Return the seconds of a time limit as SLURM writes it: 90, 90:00, 24:00:00, 2-0, 2-12:30, 2-12:30:00.

    Raises `UserError` for any other text.
    """
    if (found := _TIME.fullmatch(text)) is None:
        raise UserError(f"--time {text}: not a time limit", hint="as 24:00:00, or 2-00:00:00 for two days")

    def number(*names: str) -> int:
        return sum(int(found[name] or 0) for name in names)

    minutes = 60 * (24 * number("days") + number("hours", "only_hours"))
    minutes += number("minutes", "with_minutes", "only_minutes")
    return 60 * minutes + number("seconds", "with_seconds", "and_seconds")
