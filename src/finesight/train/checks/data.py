"""Checks that need no model: the sets and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finesight.data.leaks import MAYBE_CHANCE
from finesight.data.learned_groups import LearnedEarlier
from finesight.recipe.data import Data
from finesight.recipe.evaluate import SetTask
from finesight.recipe.recipe import Recipe
from finesight.schema import Sets, TaskExamples
from finesight.train.checks.check import Check
from finesight.train.checks.pictures import check_contexts, check_shown
from finesight.train.checks.uses import check_uses

_NAMED = 3
_FEW_GROUPS = 10
"""Below this, a bootstrap over groups has hardly anything to draw from."""
_REMEDY = (
    "split by image (data.split instead of a test source), or set data.allow_leakage: true, which the report then says "
    "in its headline"
)
_REMEDY_OF_CHANCE = (
    "split by image (data.split instead of a test source), or bear with a share of it, which the report then says in "
    "its headline (data.leakage_threshold)"
)


def check_data(
    recipe: Recipe, sets: Sets, leaks: Sequence[Mapping[str, Any]], earlier: LearnedEarlier | None = None
) -> Iterator[Check]:
    """Yield the checks of the sets and of leakage between them; `earlier` is what the runs before have learned from."""
    sizes = {"train": sets.train, "validation": sets.validation, "test": sets.test}
    counted = ", ".join(f"{len(examples):,} {name}" for name, examples in sizes.items())
    tasks = ", ".join(map(_task_in_words, sets.tasks))
    yield Check("sets", "pass", f"examples: {counted}; tasks: {tasks}")
    yield from _check_sizes(sets)
    yield from check_contexts(sets)
    yield from check_shown(recipe, sets)
    yield check_uses(sets)
    yield _check_reported(recipe)
    yield from _check_leaks(recipe.data, leaks)
    if earlier is not None and not earlier.is_known:
        yield Check(
            "leaks",
            "warning",
            f"what {earlier.run} has learned from is not recorded in its folder: whether this run is measured on some "
            "of it cannot be said",
            hint="measure on data that is sure to be new to the model",
        )


def _check_sizes(sets: Sets) -> Iterator[Check]:
    for task in sets.tasks:
        groups = len({example.group for example in task.examples})
        if groups < _FEW_GROUPS:
            yield Check(
                "sizes",
                "warning",
                f"{task.name} is measured on {groups} {'group' if groups == 1 else 'groups'} (images, drawings, "
                "documents): its interval will be wide, and says little",
                hint="give it more data, or raise data.split where it is drawn from one of the run's own sets",
            )


def _check_reported(recipe: Recipe) -> Check:
    reported = recipe.reported_tasks()
    names = ", ".join(task.name for task in reported)
    # A recipe that has a test set and reports on validation all the same was refused when it was read.
    if any(isinstance(task, SetTask) and task.from_ == "validation" for task in reported):
        return Check(
            "reported",
            "warning",
            f"there is no test set: the verdict is on {names}, drawn from validation, which also chooses the "
            "checkpoint; the score after tuning will be too high",
            hint="set data.split.test above 0, or give data.test a source, and report on it with a task `from: test`",
        )
    return Check("reported", "pass", f"the verdict is on {names}, which neither teaches nor chooses the checkpoint")


def _check_leaks(data: Data, leaks: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    if not leaks:
        looked = ", nor does one look alike" if data.split.look_alikes else "; look-alikes were not looked for"
        yield Check("leaks", "pass", f"no image, text or example of an evaluation set is also learned from{looked}")
    for leak in leaks:
        yield Check(
            "leaks",
            "warning" if data.allow_leakage or leak["within_threshold"] else "failure",
            _leak_in_words(leak),
            hint=_REMEDY_OF_CHANCE if leak["kind"] in MAYBE_CHANCE else _REMEDY,
        )


def _leak_in_words(leak: Mapping[str, Any]) -> str:
    examples = f"{leak['examples']} {'example' if leak['examples'] == 1 else 'examples'} of {leak['evaluation_set']}"
    return (
        f"{leak['evaluation_set']} and {leak['learned_set']} share {leak['groups']} × {leak['kind']} "
        f"({examples}, {100 * leak['share']:.3g} %; first: {', '.join(leak['first'][:_NAMED])})"
    )


def _task_in_words(task: TaskExamples) -> str:
    repeats = f"; {task.repeats:,} more ask the same, with the same right answers" if task.repeats else ""
    return f"{task.name} ({len(task.examples):,}{repeats})"
