"""Checks that need no model: the sets and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finesight.recipe.recipe import Recipe
from finesight.schema import Sets
from finesight.train.checks.check import Check


def check_data(recipe: Recipe, sets: Sets, leaks: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Yield the checks of the sets and of leakage between them."""
    sizes = {"train": sets.train, "validation": sets.validation, "test": sets.test}
    counted = ", ".join(f"{len(examples):,} {name}" for name, examples in sizes.items())
    tasks = ", ".join(f"{task.name} ({len(task.examples):,})" for task in sets.tasks)
    yield Check("sets", "pass", f"examples: {counted}; tasks: {tasks}")
    if not leaks:
        yield Check(
            "leaks", "pass", "no evaluation set shares an image, a text or an example with what is learned from"
        )
    for leak in leaks:
        yield Check(
            "leaks",
            "warning" if recipe.data.allow_leakage else "failure",
            f"{leak['evaluation_set']} and {leak['learned_set']} share {leak['groups']} × {leak['kind']} "
            f"({leak['examples']} examples of {leak['evaluation_set']}; first: {', '.join(leak['first'][:3])})",
            hint="split by image (data.split instead of a test source), or set data.allow_leakage: true, which the "
            "report then says in its headline",
        )
