"""The checks that questions come with what they are about, and that a part which learns from images is shown some."""

from __future__ import annotations

from collections.abc import Iterator

from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Recipe
from finesight.schema import PART_NAMES, Example, Sets
from finesight.train.checks.check import Check

_NAMED = 3


def check_contexts(sets: Sets) -> Iterator[Check]:
    """Yield a check a source of which some questions are about an image or a text, and others about nothing."""
    by_source: dict[str, dict[str, Example]] = {}
    everything = [sets.train, sets.validation, sets.test, *(task.examples for task in sets.tasks)]
    for examples in everything:
        for example in examples:
            by_source.setdefault(example.source, {})[example.id] = example
    bare = {
        source: [example.id for example in examples.values() if not example.has_context]
        for source, examples in by_source.items()
    }
    mixed = {source: ids for source, ids in bare.items() if 0 < len(ids) < len(by_source[source])}
    for source, ids in mixed.items():
        yield Check(
            "contexts",
            "warning",
            f"{len(ids):,} of {len(by_source[source]):,} examples of {source} have no image: they are asked as text "
            f"alone (first: {', '.join(ids[:_NAMED])})",
            hint="fill the image cells of these rows, or take the rows out; leave them if they are meant so",
        )


def check_shown(recipe: Recipe, sets: Sets) -> Iterator[Check]:
    """Yield a failure when parts that learn from images are never shown one."""
    if isinstance(recipe.model, TextModel) or any(example.images for example in sets.train):
        return
    stages = recipe.each_stage()
    blind = [
        part for part in PART_NAMES if part != "language" and any(stage.tune.of(part) != "frozen" for stage in stages)
    ]
    if blind:
        yield Check(
            "images",
            "failure",
            f"no training example has an image, so {' and '.join(blind)} would learn nothing",
            hint="freeze them, give examples with images (svg_captions: context: image), or take kind: text",
        )
