"""The recipes that come with finesight."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

from finesight.errors import UserError


def _folder() -> Path:
    return Path(str(files("finesight"))) / "recipes"


def builtin_recipes() -> list[tuple[str, str]]:
    """Return the name of each built-in recipe and its first comment line, in the order of the names.

    A recipe in a folder is called by its path there, as `starter/pretrain`.
    """
    return sorted(
        (file.relative_to(_folder()).with_suffix("").as_posix(), first_comment(file))
        for file in _folder().rglob("*.yaml")
    )


def first_comment(file: Path) -> str:
    """Return the first comment line of a YAML file: what it says of itself."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line[1:].strip() for line in lines if line.startswith("#")), "")


def is_builtin(path: Path) -> bool:
    """Return whether a recipe file is one that comes with finesight; such a file has no data beside it."""
    return path.resolve().is_relative_to(_folder().resolve())


def find_recipe(name_or_path: str) -> Path:
    """Return the recipe file that a person means: an existing path, else a built-in name (without .yaml).

    Raises `UserError` when it is neither.
    """
    path = Path(name_or_path)
    if path.exists():
        return path
    if name_or_path in dict(builtin_recipes()):
        return _folder() / f"{name_or_path}.yaml"
    raise UserError(f"{name_or_path}: no such file, and no built-in recipe of that name", hint=not_found_hint(path))


def not_found_hint(path: Path) -> str:
    """Return what a person who named a missing recipe may have meant."""
    names = [name for name, _ in builtin_recipes()]
    siblings = [file.name for file in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
    near_files = difflib.get_close_matches(path.name, siblings, n=1)
    near_names = difflib.get_close_matches(path.stem, names, n=1)
    if near_files:
        return f"did you mean {path.parent / near_files[0]}?"
    if near_names:
        return f"did you mean the built-in recipe `{near_names[0]}`?"
    return f"built-in recipes: {', '.join(names)}" if names else "give the path of a YAML file"
