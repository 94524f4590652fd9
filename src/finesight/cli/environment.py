"""What `finesight env` shows: what every run records of its environment, and what torch sees of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finesight.environment import describe_environment

_GIB = 2**30


def describe_machine() -> dict[str, Any]:
    """Return what a run records of its environment, and its accelerators as torch sees them."""
    return {**describe_environment(), "accelerator": _accelerators()}


def in_lines(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield names and values for people: the versions each by its package, nothing that is unknown."""
    for name, value in content.items():
        match value:
            case dict() if name == "packages":
                yield from value.items()
            case dict():
                yield name, _in_a_line(value)
            case list():
                yield name, "; ".join(map(_in_a_line, value)) or "none"
            case None:
                continue
            case _:
                yield _in_words(name), value


def _in_a_line(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{_in_words(name)} {value}" for name, value in content.items() if value is not None)


def _in_words(name: str) -> str:
    return name.replace("_gib", " (GiB)").replace("_", " ")


def gpu_count() -> int:
    """Return how many GPUs of this machine torch can use."""
    import torch

    return torch.cuda.device_count()


def _accelerators() -> str:
    """Return each GPU that torch sees, or why there is none."""
    try:
        import torch
    except ImportError as error:
        return f"unknown, since torch cannot be imported: {error}"
    if not torch.cuda.is_available():
        built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU alone"
        return f"none that torch sees (it is built for {built_for})"
    found = (torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count()))
    return ", ".join(f"{device.name} ({device.total_memory / _GIB:.1f} GiB)" for device in found)
