"""How much memory and disk is free where a run computes and writes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

GIB = 2**30
CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux says how much memory a job or a container may take: less, perhaps, than the machine has."""
MAIN_MEMORY = torch.device("cpu")


def free_bytes(device: torch.device) -> int:
    """Return how many bytes a device can still give: of a GPU's memory, or of main memory."""
    if device.type != "cuda":
        return min((int(psutil.virtual_memory().available), *allowed_bytes(CGROUPS, own_cgroup())))
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds and does not use it gives again.
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def own_cgroup(file: Path = Path("/proc/self/cgroup")) -> str:
    """Return the path of this process's group below that of all groups; of none where the system has no such groups."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")


def allowed_bytes(root: Path, group: str) -> Iterator[int]:
    """Yield what a group and each one above it may still take, where that is limited.

    What was read from files and lies idle in memory is given up when it is needed.
    """
    own = root / group
    for folder in (own, *(above for above in own.parents if above.is_relative_to(root))):
        limit = folder / "memory.max"
        if limit.is_file() and (most := limit.read_text().strip()) != "max":
            taken = int((folder / "memory.current").read_text())
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield int(most) - taken + int(told["inactive_file"])


def standing_part(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that is there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())


def free_disk_bytes(folder: Path) -> int:
    """Return how many bytes can be written in a folder that may not be there yet."""
    return shutil.disk_usage(standing_part(folder)).free


def in_gib(size: float) -> str:
    """Return a number of bytes in words."""
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"
