"""From what a person typed to a recipe and the folder that its paths start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finesight.recipe.recipe import Recipe


def open_recipe(name_or_path: str, overrides: Sequence[str] | None, data_root: Path | None) -> tuple[Recipe, Path]:
    """Return the recipe that is meant, changed by `overrides`, and the folder that its paths start from.

    Raises `UserError` when there is no such recipe, when it has faults, or when the data root is no folder.
    """
    from finesight.errors import UserError
    from finesight.recipe.builtin import find_recipe, is_builtin
    from finesight.recipe.reading import read_recipe

    path = find_recipe(name_or_path)
    if data_root is not None and not data_root.is_dir():
        raise UserError(f"--data-root {data_root}: no such folder")
    recipe = read_recipe(path, overrides or ()).recipe
    if data_root is None:
        data_root = Path() if is_builtin(path) else path.parent
    return recipe, data_root.resolve()
