"""The benchmarks that come with finesight, by name: data, prompt, limits and metric, with a version, a file each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from finesight.recipe.builtin import first_comment

OWN_FIELDS = ("task", "task_version", "name", "role", "max_samples")
"""What a recipe says of a task without changing what is measured, or how."""


def named_tasks() -> list[tuple[str, str]]:
    """Return the name of each task and its first comment line, in the order of the names."""
    return sorted((file.stem, first_comment(file)) for file in _folder().glob("*.yaml"))


def expand_task(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `evaluate:` with all that its `task:` names; what the entry says itself stays.

    An entry of another version than the one that comes with finesight is a kept recipe's, and complete as it is.
    Raises `KeyError` when there is no task of that name.
    """
    named = _read(entry["task"])
    version = named.pop("version")
    if entry.get("task_version", version) != version:
        return dict(entry)
    return _merge({"name": entry["task"], **named}, {**entry, "task_version": version})


def changed_fields(entry: Mapping[str, Any]) -> list[str]:
    """Return which fields of a complete entry, as a kept recipe has it, are not as its task says.

    Empty for an entry that names no task, and for one of another version, with which it cannot be compared.
    """
    if not entry.get("task"):
        return []
    named = _read(entry["task"])
    if named.pop("version") != entry["task_version"]:
        return []
    return [name for name, value in named.items() if not _same(value, entry.get(name))]


def unknown_task(name: object) -> str:
    """Return a hint for a name that no task has."""
    names = [known for known, _ in named_tasks()]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {near[0]}?" if near else f"the tasks are {', '.join(names)}"


def _merge(named: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, where `said` counts more; of a mapping, as `columns`, only what is said of it changes."""
    inner = {
        name: _merge(value, said[name])
        for name, value in named.items()
        if isinstance(value, Mapping) and isinstance(said.get(name), Mapping)
    }
    return {**named, **said, **inner}


def _same(named: Any, given: Any) -> bool:
    """Return whether a field is as its task says; a complete recipe spells out defaults that the task leaves out."""
    if isinstance(named, Mapping) and isinstance(given, Mapping):
        return all(_same(value, given.get(name)) for name, value in named.items())
    return bool(named == given)


def _read(name: object) -> dict[str, Any]:
    file = _folder() / f"{name}.yaml"
    if not isinstance(name, str) or file.parent != _folder() or not file.exists():
        raise KeyError(name)
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def _folder() -> Path:
    return Path(str(files("finesight"))) / "tasks"
