"""Where a run took place: what a reader needs to repeat it, and what a bug report needs."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "finesight", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "bitsandbytes",
    "deepspeed", "numpy", "pillow", "pydantic",
)  # fmt: skip
_PATIENCE_SECONDS = 10


def describe_environment() -> dict[str, Any]:
    """Return versions, machine and the state of the folder's git repository, if it is one. Imports nothing heavy."""
    return {
        "packages": package_versions(PACKAGES),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "processor_cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "git": _git_state(),
    }


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed."""
    return {name: version for name in names if (version := _version(name)) is not None}


def describe_run_environment(data_root: Path, seed: int, device: str) -> dict[str, Any]:
    """Return the content of environment.json."""
    return {
        "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "data_root": str(data_root.resolve()),
        "seed": seed,
        "device": device,
        **describe_environment(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Return the processor's name as the system tells it, or its architecture where it does not."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf-8", errors="replace").splitlines() if cpus.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _gpus() -> list[dict[str, Any]]:
    """Return name, memory and driver of every NVIDIA GPU of the machine, whether or not the run may use it.

    The driver's own program is asked, so that torch need not be imported; where it is not there, there is none.
    """
    told = _told_by("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
    rows = ([cell.strip() for cell in line.split(",")] for line in (told or "").splitlines())
    return [
        # A GPU whose memory is the machine's own has no figure for it.
        {"name": name, "memory_gib": round(int(mib) / 1024, 1) if mib.isdecimal() else None, "driver": driver}
        for name, mib, driver in rows
    ]


def _git_state() -> dict[str, Any] | None:
    """Return commit and whether files differ from it, or None outside a repository or without git."""
    commit, changes = _told_by("git", "rev-parse", "HEAD"), _told_by("git", "status", "--porcelain")
    if commit is None or changes is None:
        return None
    return {"commit": commit.strip(), "changed_files": len(changes.splitlines())}


def _told_by(*command: str) -> str | None:
    """Return what a program prints, or None where it is not there, fails or does not answer."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None
