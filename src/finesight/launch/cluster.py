"""What a person asks of a SLURM cluster, and whether it can be written into a file that SLURM reads."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from finesight.errors import UserError

LEAST_WARNING_SECONDS = 60
MOST_WARNING_SECONDS = 65535
"""What SLURM takes (man sbatch, --signal)."""
SIGNAL_GRAIN_SECONDS = 60
"""SLURM looks at its clock so seldom that a warning may come this much too early (man sbatch, --signal)."""
_TIME = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?"
    r"|(?P<only_hours>\d+):(?P<with_minutes>\d+):(?P<with_seconds>\d+)"
    r"|(?P<only_minutes>\d+)(:(?P<and_seconds>\d+))?"
)


_MEMORY = re.compile(r"\d+[KMGT]?", re.IGNORECASE)
_GPU_TYPE = re.compile(r"[\w.-]+")
_OPTION = re.compile(r"(?P<name>-[A-Za-z]|--[a-z][a-z0-9-]*)(?P<mark>=|\s+|)(?P<value>.*)")
_LOG, _KEPT = "the run's log is in its folder", "the job goes back into the queue under its own number"
_TAKEN = {
    **dict.fromkeys(("-p", "--partition"), "give --partition"),
    **dict.fromkeys(("-t", "--time"), "give --time"),
    **dict.fromkeys(("-N", "--nodes"), "give --nodes"),
    **dict.fromkeys(("-A", "--account"), "give --account"),
    **dict.fromkeys(("-c", "--cpus-per-task"), "give --cpus-per-task"),
    **dict.fromkeys(("--mem",), "give --mem"),
    **dict.fromkeys(("-G", "--gpus", "--gpus-per-node", "--gres"), "give --gpus, and --gpu-type"),
    **dict.fromkeys(("--gpus-per-task", "-n", "--ntasks", "--ntasks-per-node"), "give --gpus or --processes"),
    **dict.fromkeys(("--ntasks-per-gpu", "--ntasks-per-core", "--ntasks-per-socket"), "give --gpus or --processes"),
    **dict.fromkeys(("--signal",), "give --warning-seconds"),
    **dict.fromkeys(("-a", "--array", "--requeue", "--no-requeue"), _KEPT),
    **dict.fromkeys(("-o", "--output", "-e", "--error", "--open-mode"), _LOG),
    **dict.fromkeys(("-J", "--job-name"), "it is the recipe's name: --set name=…"),
}
"""Options of sbatch that the job file gives itself, and what to do instead of giving them once more."""


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
    for option in cluster.further:
        further_option(option)
    _require_sizes(cluster)
    if cluster.time is None:
        return
    least = cluster.warning_seconds + SIGNAL_GRAIN_SECONDS
    if time_limit_seconds(cluster.time) <= least:
        raise UserError(
            f"--time {cluster.time}: SLURM may warn {least} seconds before the limit, and the run stops then",
            hint="give it more time",
        )


def further_option(typed: str) -> str:
    """Return another option of sbatch as it is written into the job's file, its value quoted as sbatch reads it there.

    Raises `UserError` for what is none, and for one that the job file gives itself: the later of two counts.
    """
    found = _OPTION.fullmatch(typed)
    if found is None or (found["name"].startswith("--") and found["value"] and not found["mark"]):
        raise UserError(f"--sbatch {typed}: no option of sbatch", hint="as --sbatch=--qos=long")
    if instead := _TAKEN.get(found["name"]):
        raise UserError(f"--sbatch {typed}: the job has its own {found['name']}", hint=instead)
    return f"{found['name']}{found['mark']}{shlex.quote(found['value'])}" if found["value"] else typed


def _require_sizes(cluster: Cluster) -> None:
    """Raise `UserError` for what SLURM would refuse, or take for something else."""
    if not LEAST_WARNING_SECONDS <= cluster.warning_seconds <= MOST_WARNING_SECONDS:
        raise UserError(
            f"--warning-seconds {cluster.warning_seconds}: from {LEAST_WARNING_SECONDS} to {MOST_WARNING_SECONDS}"
        )
    if cluster.mem is not None and not _MEMORY.fullmatch(cluster.mem):
        raise UserError(f"--mem {cluster.mem!r}: not a size as SLURM takes it", hint="as 48G")
    if cluster.gpu_type is not None and not _GPU_TYPE.fullmatch(cluster.gpu_type):
        raise UserError(f"--gpu-type {cluster.gpu_type!r}: not a name", hint="as l40s; how many is --gpus")
    for option, text in (("--partition", cluster.partition), ("--account", cluster.account)):
        if text is not None and not text.strip():
            raise UserError(f"{option}: an empty name", hint="leave it out for the cluster's own choice")


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
