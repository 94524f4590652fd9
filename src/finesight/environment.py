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
    "finesight", "torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "bitsandbytes", "numpy",
    "pillow", "pydantic",
)  # fmt: skip


def describe_environment() -> dict[str, Any]:
    """Return versions, machine and the state of the folder's git repository, if it is one. Imports nothing heavy."""
    return {
        "packages": package_versions(PACKAGES),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor_cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
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


def _git_state() -> dict[str, Any] | None:
    """Return commit and whether files differ from it, or None outside a repository or without git."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        changes = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    if commit.returncode != 0:
        return None
    return {"commit": commit.stdout.strip(), "changed_files": len(changes.stdout.splitlines())}
