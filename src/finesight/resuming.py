"""Whether a run that goes on is still the run that was begun: its recipe, its data, what computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from finesight.data.fingerprints import Fingerprints
from finesight.data.fingerprints import differences as data_differences
from finesight.environment import describe_environment
from finesight.errors import DataError, UserError, command_line
from finesight.recipe.changes import differences, differences_beside_training, differences_in_training, in_force
from finesight.recipe.recipe import Recipe
from finesight.rundir import RECIPE_FILE, RunDir
from finesight.runtime import say

_MOST_NAMED = 5


def describe_beginning(recipe: Recipe, fingerprints: Fingerprints, changes: Sequence[str]) -> dict[str, Any]:
    """Return what environment.json keeps of recipe and data, to tell later whether somebody has changed them.

    `recipe` is what this start goes by, `changes` what of it was changed from start to start.
    """
    return {
        "fingerprints": fingerprints,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_changes": [*changes],
    }


def require_comparable(run: RunDir) -> None:
    """Raise `UserError` for a run that was begun by an earlier finesight, which did not note what its data were."""
    if "recipe" not in run.load("environment"):
        raise UserError(
            f"{run.path}: begun by an earlier finesight, which did not note what its data were",
            hint=f"begin another run with `{_begin_anew(run)}`",
        )


def _begin_anew(run: RunDir) -> str:
    return command_line("run", run.path / RECIPE_FILE, "--data-root", run.data_root)


def take_up(run: RunDir, trained: Sequence[str]) -> tuple[RunDir, list[str]]:
    """Return the run by the recipe that it goes by, and what was changed of that from start to start, in words.

    Of the recipe in its folder, only how the stages are trained may have been changed since; what the checkpoints of
    the stages that are `trained` hold stays as it was, and it is said. A new run goes by its own recipe. Raises
    `UserError` where something else was changed.
    """
    if not run.has_begun:
        return run, []
    began = run.load("environment")
    earlier, asked = _recipe_of(run, began["recipe"]), run.recipe
    if changed := differences_beside_training(earlier, asked):
        raise UserError(
            f"{run.path / RECIPE_FILE} was changed since the run last started, {_first(changed)}: of a run that goes "
            "on, only `train` may change",
            hint=f"another run begins with `{_begin_anew(run)}`; for this one, restore what was changed",
        )
    recipe = in_force(earlier, asked, trained)
    changes = differences_in_training(earlier, recipe)
    for words in changes:
        say(
            f"warning: {RECIPE_FILE} was changed since the run last started, {words}: steps already taken followed the "
            "old one"
        )
    for words in differences_in_training(recipe, asked):
        say(f"warning: {RECIPE_FILE} was changed, {words}: not used, the checkpoint holds the old one")
    return RunDir(run.path, recipe, run.data_root), [*dict.fromkeys((*began.get("recipe_changes", ()), *changes))]


def _recipe_of(run: RunDir, noted: Mapping[str, Any]) -> Recipe:
    """Return the recipe that environment.json holds. Raises `UserError` for one of an earlier finesight."""
    try:
        return Recipe.model_validate(noted)
    except ValidationError as error:
        raise UserError(
            f"{run.path}: begun by another finesight, whose recipe this one does not know",
            hint=f"begin another run with `{_begin_anew(run)}`",
        ) from error


def compare_with_beginning(run: RunDir, fingerprints: Fingerprints) -> None:
    """Say what of what computes is not as it was when the run began; nothing for a new run.

    Raises `DataError` when the data are others: their order is that of the steps already taken.
    """
    if not run.has_begun:
        return
    began = run.load("environment")
    if changed := data_differences(began["fingerprints"], fingerprints):
        raise DataError(
            f"{run.path}: the data are not those that the run began with: {_first(changed)}",
            hint=f"another run begins with `{_begin_anew(run)}`; for this one, restore them",
        )
    for words in differences(began["packages"], describe_environment()["packages"]):
        say(f"warning: since the run began, {words}: losses may differ from those of a run without a stop")


def _first(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
