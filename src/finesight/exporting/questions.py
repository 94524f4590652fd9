"""The questions by which an export is held against the model that was tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finesight.data.sets import read_all
from finesight.data.split import draw
from finesight.evaluate.measure import TokenizedTask
from finesight.models.formatter import Formatter
from finesight.opening import tokenize_tasks
from finesight.recipe.recipe import Recipe
from finesight.schema import Sets, TaskExamples


def draw_questions(recipe: Recipe, data_root: Path, most: int) -> tuple[TaskExamples, ...]:
    """Return up to `most` of the questions that the verdict rests on, as many of each task as there are.

    Raises `DataError` where the run's data are not there any more.
    """
    sets, _ = read_all(recipe, data_root)
    reported = {task.name for task in recipe.reported_tasks()}
    tasks = [task for task in sets.tasks if task.name in reported]
    drawn: list[TaskExamples] = []
    for place, task in enumerate(tasks):
        share = (most - sum(len(each.examples) for each in drawn)) // (len(tasks) - place)
        drawn.append(replace(task, examples=tuple(draw(task.examples, max(share, 1), recipe.seed))))
    return tuple(drawn)


def put_into_tokens(formatter: Formatter, tasks: Sequence[TaskExamples], recipe: Recipe) -> tuple[TokenizedTask, ...]:
    """Return the questions as a model is asked them."""
    tokenized, _ = tokenize_tasks(formatter, Sets((), (), (), tuple(tasks)), recipe)
    return tokenized
