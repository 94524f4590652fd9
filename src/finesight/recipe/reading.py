"""A recipe file becomes a recipe, or a list of everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from finesight.errors import RecipeError, UserError
from finesight.recipe import yaml_text
from finesight.recipe.builtin import not_found_hint
from finesight.recipe.captioners import SECTIONS_OF_A_RUN, CaptionersRecipe
from finesight.recipe.named_tasks import expand_task, unknown_task
from finesight.recipe.overrides import Override, apply_overrides
from finesight.recipe.recipe import Recipe
from finesight.recipe.specification import FieldPath
from finesight.recipe.wording import Invalid, explain

MAX_BYTES = 1_000_000
"""A recipe is a page of text; a larger file is something else."""


AnyRecipe = Recipe | CaptionersRecipe
"""What a recipe file may hold: a run, or an evaluation of captioners."""


@dataclass(frozen=True)
class RecipeFile:
    """A run's recipe, and the file it was read from."""

    recipe: Recipe
    path: Path


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> RecipeFile:
    """Return the recipe of a run in `path`, changed by `overrides` (`train.num_train_epochs=1`).

    Raises `RecipeError` as `read_any_recipe` does, and `UserError` for a recipe of captioners.
    """
    recipe = read_any_recipe(path, overrides)
    if isinstance(recipe, CaptionersRecipe):
        raise UserError(
            f"{path}: a recipe of captioners, which are measured and never tuned",
            hint=f"finesight evaluate {path}; it names finished runs in its `models`",
        )
    return RecipeFile(recipe, path)


def read_any_recipe(path: Path, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Return the recipe in `path`, changed by `overrides`: one with `captioners` is a recipe of captioners.

    Raises `RecipeError` with all faults at once, each as `file:line: field: what is wrong (hint: …)`.
    """
    content, root, faults = yaml_text.parse(_read_text(path))
    lines = [(fault.line, _sentence(f"{path}:{fault.line}", fault.where, fault.what, fault.hint)) for fault in faults]
    if content is None:
        raise RecipeError([line for _, line in lines] or [f"{path}: the file is empty"], hint=_starting_hint(lines))
    if not isinstance(content, dict):
        what = "a list" if isinstance(content, list) else "a single value"
        raise RecipeError(
            [f"{path}:1: a recipe is a mapping of fields, and this is {what}"],
            hint="it begins with `name: my-run`; `finesight new FOLDER` writes one",
        )
    content = json.loads(json.dumps(content))  # aliased values become separate ones, so that a change stays in place
    done, refused = apply_overrides(content, overrides)
    lines += [(0, _sentence(f"--set {text}", "", what, hint)) for text, what, hint in refused]
    unnamed = _expand_tasks(content)
    recipe, invalid = _validate(content)
    for fault in (*unnamed, *invalid):
        override = _override_at(fault.where, done)
        line = 0 if override else yaml_text.line_of(root, fault.where)
        place = f"--set {override.text}" if override else f"{path}:{line}"
        lines.append((line, _sentence(place, ".".join(map(str, fault.where)), fault.what, fault.hint)))
    if lines or recipe is None:
        raise RecipeError([line for _, line in sorted(lines, key=lambda item: item[0])])
    return recipe


def dump_recipe(recipe: AnyRecipe) -> str:
    """Return the complete recipe as YAML, every default written out; reading it gives an equal `Recipe`."""
    return yaml_text.dump(recipe.model_dump(mode="json", by_alias=True))


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise RecipeError([f"{path}: a folder, where a recipe (a YAML file) is needed"], hint=not_found_hint(path))
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError([f"{path}: larger than {MAX_BYTES // 1_000_000} MB; a recipe is a page of text"])
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such file"], hint=not_found_hint(path)) from None
    except UnicodeDecodeError as error:
        raise RecipeError(
            [f"{path}: not UTF-8 text (byte {error.start + 1} does not belong)"], hint="save the file as UTF-8"
        ) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot be read: {error.strerror}"]) from None


def _starting_hint(lines: Sequence[tuple[int, str]]) -> str:
    return "" if lines else "`finesight new FOLDER` writes a recipe for a folder of data"


def _validate(content: dict[str, Any]) -> tuple[AnyRecipe | None, list[Invalid]]:
    """Check as strict JSON: text is not taken for a number, nor a number for true."""
    meant: type[Recipe] | type[CaptionersRecipe] = CaptionersRecipe if "captioners" in content else Recipe
    if meant is CaptionersRecipe and (mixed_in := [name for name in SECTIONS_OF_A_RUN if name in content]):
        hint = "give captioners a recipe of their own, with evaluate; finished runs go into its `models`"
        return None, [Invalid((name,), "stands beside captioners, which are never tuned", hint) for name in mixed_in]
    try:
        return meant.model_validate_json(json.dumps(content), strict=True), []
    except ValidationError as error:
        return None, explain(meant, content, error)


def _expand_tasks(content: dict[str, Any]) -> list[Invalid]:
    """Fill in what the named tasks of `evaluate:` say; return a fault for each name that no task has."""
    faults = []
    tasks = content.get("evaluate", [])
    for place, entry in enumerate(tasks if isinstance(tasks, list) else ()):
        if isinstance(entry, dict) and entry.get("task") is not None:
            try:
                tasks[place] = expand_task(entry)
            except KeyError:
                hint = unknown_task(entry["task"])
                faults.append(Invalid(("evaluate", place, "task"), f"there is no task {entry['task']}", hint))
                del tasks[place]["task"]
    return faults


def _override_at(where: FieldPath, done: Sequence[Override]) -> Override | None:
    """Return the change that put the value at `where` there: the last one at that place or above it."""
    above = [override for override in done if where[: len(override.path)] == override.path]
    return above[-1] if above else None


def _sentence(place: str, where: str, what: str, hint: str) -> str:
    parts = [place, where, what] if where else [place, what]
    return ": ".join(parts) + (f" (hint: {hint})" if hint else "")
