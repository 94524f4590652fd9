"""From what a person typed to a recipe and the folder that its paths start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finesight.recipe.base import Spec
    from finesight.recipe.evaluate import Task
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


def choose_tasks(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """Return the recipe with the named tasks alone, to be measured and not trained; without names, as it is.

    Raises `UserError` for a task that is not there, and for one that shares its source with a task that is left out.
    """
    from finesight.errors import UserError

    if not names:
        return recipe
    there = {task.name: task for task in recipe.evaluate}
    if unknown := [name for name in names if name not in there]:
        raise UserError(
            f"--task {unknown[0]}: {recipe.name} has no such task", hint=f"its tasks are {', '.join(there)}"
        )
    chosen = tuple(task for task in recipe.evaluate if task.name in names)
    _require_apart(chosen, [task for task in recipe.evaluate if task.name not in names])
    # Nothing is trained, and early stopping may watch a task that is left out.
    train = recipe.train and recipe.train.model_copy(update={"early_stopping": None})
    stages = tuple(
        stage.model_copy(update={"train": stage.train.model_copy(update={"early_stopping": None})})
        for stage in recipe.stages
    )
    return recipe.model_copy(update={"evaluate": chosen, "train": train, "stages": stages})


def _require_apart(chosen: Sequence[Task], left_out: Sequence[Task]) -> None:
    """Raise `UserError` when a chosen task shares its source with one left out: alone it could draw other examples."""
    from finesight.data.claims import origin_of
    from finesight.errors import UserError
    from finesight.recipe.evaluate import SetTask

    others = {origin_of(task, Path()): task.name for task in left_out if not isinstance(task, SetTask)}
    for task in chosen:
        if not isinstance(task, SetTask) and (other := others.get(origin_of(task, Path()))):
            raise UserError(
                f"--task {task.name}: it shares its source with {other}, and the two draw their examples together",
                hint=f"measure both: --task {task.name} --task {other}",
            )


def speak(recipe: Recipe, language: str | None) -> Recipe:
    """Return the recipe with everything that is said about generated scenes in one language; without one, as it is.

    Raises `UserError` for a language that no scene speaks, and for a recipe without scenes.
    """
    from finesight.errors import UserError
    from finesight.recipe.sources import SCENE_LANGUAGES, Scenes

    if language is None:
        return recipe
    if language not in SCENE_LANGUAGES:
        raise UserError(f"--language {language}: scenes speak {' and '.join(SCENE_LANGUAGES)}")
    data, tasks = recipe.data, recipe.evaluate
    if not any(isinstance(source, Scenes) for source in (*data.train, *data.validation, *data.test, *tasks)):
        raise UserError(f"--language {language}: {recipe.name} has no generated scenes", hint="leave --language out")

    def spoken(sources: Sequence[Spec]) -> tuple[Spec, ...]:
        return tuple(
            source.model_copy(update={"languages": (language,)}) if isinstance(source, Scenes) else source
            for source in sources
        )

    sets = {"train": spoken(data.train), "validation": spoken(data.validation), "test": spoken(data.test)}
    return recipe.model_copy(update={"data": data.model_copy(update=sets), "evaluate": spoken(tasks)})
