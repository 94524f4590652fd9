"""Examples as one model or another gets them: a drawing as a picture, or as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from finesight.errors import DataError
from finesight.schema import Example, TaskExamples

_SHOWN = 3


def as_seen(task: TaskExamples, *, sees_images: bool) -> TaskExamples:
    """Return a task as a model gets it that sees images, or reads text alone: of what is both, one is left.

    Raises `DataError` where a model without eyes would get nothing.
    """
    if sees_images:
        examples = [
            replace(example, context="", drawing=None) if example.images else example for example in task.examples
        ]
    else:
        _refuse(task, lambda example: bool(example.images) and not example.context, "pictures without text")
        examples = [replace(example, images=(), drawing=example.picture) for example in task.examples]
    return replace(task, examples=tuple(examples))


def require_pictures(tasks: Sequence[TaskExamples]) -> None:
    """Raise `DataError` unless every example is one question about one picture, all that a captioner is asked."""
    for task in tasks:
        _refuse(task, lambda example: len(example.images) != 1, "not about one picture")
        _refuse(task, lambda example: len(example.turns) != 2, "conversations")


def _refuse(task: TaskExamples, unfit: Callable[[Example], bool], what: str) -> None:
    if found := [example.id for example in task.examples if unfit(example)]:
        first = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise DataError(
            f"the task {task.name}: {len(found):,} of {len(task.examples):,} examples are {what} ({first})",
            hint="captioners describe one picture each; text models need context: both, on drawings or scenes",
        )
