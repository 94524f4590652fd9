"""The small models that come with finesight, by name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from finesight.errors import ModelError

_PREFIX = "finesight/"


def shipped_models() -> dict[str, Path]:
    """Return the folder of each shipped model by its short name, as `starter`."""
    return {file.parent.name: file.parent for file in sorted(shipped_folder().glob("*/config.json"))}


def shipped_name(name: str) -> str:
    """Return how a recipe calls a shipped model: `finesight/starter`, so that it looks like any other's name."""
    return f"{_PREFIX}{name}"


def find_shipped(name: str) -> Path | None:
    """Return the folder of the model that a recipe calls `finesight/<name>`, or None where it names something else.

    Raises `ModelError` when no model of that name comes with finesight.
    """
    if not name.startswith(_PREFIX):
        return None
    shipped = shipped_models()
    if folder := shipped.get(name.removeprefix(_PREFIX)):
        return folder
    raise ModelError(
        f"{name}: no such model comes with finesight",
        hint=f"those that do are {', '.join(map(shipped_name, shipped)) or 'none'}",
    )


def shipped_folder() -> Path:
    """Return the folder that holds a folder for each shipped model."""
    return Path(str(files("finesight"))) / "shipped"
