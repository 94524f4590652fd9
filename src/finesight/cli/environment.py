"""What a bug report needs to say of a machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from finesight import __version__

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "datasets", "tokenizers", "safetensors", "bitsandbytes",
             "numpy", "scipy", "pillow", "pydantic")  # fmt: skip
_GIB = 2**30


def describe_environment() -> dict[str, str]:
    """Return names and values in the order in which they are shown."""
    return {
        "finesight": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} usable",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / _GIB:.1f} GiB",
        "accelerator": _accelerators(),
        **{package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _accelerators() -> str:
    """Return each GPU that torch sees, or why there is none."""
    try:
        import torch
    except ImportError as error:
        return f"torch cannot be imported: {error}"
    if not torch.cuda.is_available():
        built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU alone"
        return f"none that torch sees (it is built for {built_for})"
    found = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return ", ".join(f"{device.name}, {device.total_memory / _GIB:.1f} GiB" for device in found)
