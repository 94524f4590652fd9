"""The small models that come with finesight, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_PREFIX = "finesight/"


def shipped_models() -> dict[str, Path]:
    """Return the folder of each shipped model by its short name, as `starter`."""
    return {folder.name: folder for folder in sorted(shipped_folder().iterdir()) if (folder / "config.json").is_file()}


def shipped_name(name: str) -> str:
    """Return how a recipe calls a shipped model: `finesight/starter`, so that it looks like any other's name."""
    return f"{_PREFIX}{name}"


def find_shipped(name: str) -> Path | None:
    """Return the folder of the model that a recipe calls `finesight/<name>`, or None where it names something else."""
    return shipped_models().get(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None


def shipped_folder() -> Path:
    """Return the folder that holds a folder for each shipped model."""
    return Path(str(files("finesight"))) / "shipped"
