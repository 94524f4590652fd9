"""Settings of a checkpoint, in its JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finesight.errors import ModelError


def read_json(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds by name. Raises `ModelError` where it cannot be read, or holds something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read as JSON ({error})", hint="is the download complete?") from error
    if not isinstance(content, dict):
        raise ModelError(
            f"{file}: holds a {type(content).__name__}, not settings by their names", hint="is the download complete?"
        )
    return content


def read_weight_map(index: Path) -> dict[str, str]:
    """Return which file beside `index` holds each tensor, as an index of divided weights says.

    Raises `ModelError` for an index that says nothing of the kind, or names a file outside of its folder.
    """
    written = read_json(index).get("weight_map")
    if not isinstance(written, dict) or not written or not all(isinstance(name, str) for name in written.values()):
        raise ModelError(f"{index}: does not say which file holds which tensor", hint="is the download complete?")
    for name in written.values():
        if Path(name).name != name:
            raise ModelError(f"{index}: names {name}, which is not in the folder", hint="correct the index")
    return written
