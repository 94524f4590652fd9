"""Whether a run has learned from what it is now asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finesight.data.leaks import find_leaks
from finesight.data.sets import read_all
from finesight.data.views import as_seen
from finesight.errors import UserError
from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Recipe
from finesight.schema import TaskExamples


def find_learned_before(recipe: Recipe, data_root: Path, tasks: Sequence[TaskExamples]) -> list[str]:
    """Return a sentence for each way in which `tasks` share something with what a run by `recipe` has learned from.

    Images count as the same byte for byte, drawings by their simplified text; what merely looks alike is not looked
    for. Where the run's data are not there any more, the only sentence says so.
    """
    try:
        sets, _ = read_all(recipe, data_root)
    except UserError as error:
        return [f"whether it has learned from them cannot be said: {error.message.splitlines()[0]}"]
    sees_images = not isinstance(recipe.model, TextModel)
    seen = tuple(as_seen(task, sees_images=sees_images) for task in tasks)
    sizes = {task.name: len(task.examples) for task in seen}
    leaks = find_leaks(replace(sets, test=(), tasks=seen))
    return [
        f"it has learned from {leak['examples']:,} of {sizes[leak['evaluation_set']]:,} examples of the task "
        f"{leak['evaluation_set']} ({leak['kind']})"
        for leak in leaks
        if leak["evaluation_set"] in sizes
    ]
