"""What `finesight look` shows, from the recipe to plain dictionaries: everything a model will see, before a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from finesight.continuing import learned_earlier, open_start_formatter
from finesight.look.choosing import choose_examples
from finesight.look.figures import describe_source
from finesight.look.rows import RowWriter
from finesight.look.steps import show_stage
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.models.image_formatter import ImageFormatter
from finesight.opening import Tokenized, check_data_set, leave_out_too_long, read_sets, tokenize
from finesight.recipe.recipe import Recipe
from finesight.schema import Example, Role, Sets
from finesight.train.checks.model import check_texts

SHOWN_TOO_LONG = 2
"""Examples over length that are shown of a source in a set; all are counted."""


@dataclass(frozen=True)
class LookedAt:
    """A set as it will be used."""

    name: str
    use: str
    """What becomes of it, in words."""
    answered: bool
    """Whether its answers are among the tokens; a task's questions are asked without them."""
    singles: Sequence[Encoded]
    """Its examples, each as a context with one branch."""
    too_long: Sequence[Example]

    def by_source(self) -> dict[tuple[str, Role], LookedAt]:
        """Return its parts by the name of their source and the role that it has here, in the order they are met."""
        singles: dict[tuple[str, Role], list[Encoded]] = {}
        too_long: dict[tuple[str, Role], list[Example]] = {}
        for single in self.singles:
            singles.setdefault(_used_as(single.branches[0].example), []).append(single)
        for example in self.too_long:
            too_long.setdefault(_used_as(example), []).append(example)
        return {
            used_as: replace(self, singles=singles.get(used_as, []), too_long=too_long.get(used_as, []))
            for used_as in dict.fromkeys([*singles, *too_long])
        }


def look_at(recipe: Recipe, data_root: Path, *, examples: int, max_tokens: int) -> dict[str, Any]:
    """Return the content of the page, all of it plain values: `report.look` writes it as HTML.

    Of each source in each set at most `examples` are shown, beside those over length; rows are laid out for a device
    that computes `max_tokens` at once. Nothing of the model is read but its configuration, tokenizer and image
    processor. Raises what `check` raises for data and recipes that cannot be read.
    """
    sets, _, checks = read_sets(recipe, data_root, learned_earlier(recipe, data_root))
    formatter = open_start_formatter(recipe, data_root, sets)
    tokens = tokenize(formatter, sets, leave_out_too_long(recipe))
    checks += check_data_set(formatter, recipe, tokens)
    checks += check_texts(formatter, list(_singles(tokens.learned)))
    writer = RowWriter(formatter)
    return {
        "recipe": recipe.name,
        "max_length": recipe.data.max_length,
        "over_length": recipe.data.over_length,
        "image": _describe_image(formatter),
        "checks": [asdict(check) for check in checks],
        "sets": [_show_set(each, writer, examples, recipe) for each in _looked_at(sets, tokens)],
        "stages": [
            show_stage(stage, tokens.of_stage(stage)[0], writer, seed=recipe.seed, max_tokens=max_tokens)
            for stage in recipe.each_stage()
        ],
    }


def tables_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content without the examples and rows: what a program wants of it."""
    sets = [
        {
            **each,
            "sources": [
                {name: value for name, value in source.items() if name != "shown"} for source in each["sources"]
            ],
        }
        for each in content["sets"]
    ]
    stages = [{name: value for name, value in stage.items() if name != "rows"} for stage in content["stages"]]
    return {**content, "sets": sets, "stages": stages}


def _looked_at(sets: Sets, tokens: Tokenized) -> Iterator[LookedAt]:
    """Yield the sets as they will be used: what is learned, what chooses, what is measured."""
    yield _with_too_long("train", "learned from", sets.train, list(_singles(tokens.learned)))
    if sets.validation:
        yield _with_too_long("validation", "chooses the checkpoint", sets.validation, list(_singles(tokens.watched)))
    for given, task in zip(sets.tasks, tokens.tasks, strict=True):
        use = f"measured before and after ({given.role}, drawn from {given.drawn_from})"
        yield _with_too_long(f"task {given.name}", use, given.examples, task.questions, answered=False)


def _with_too_long(
    name: str, use: str, examples: Sequence[Example], singles: Sequence[Encoded], *, answered: bool = True
) -> LookedAt:
    kept = {single.branches[0].example.id for single in singles}
    order = {example.id: place for place, example in enumerate(examples)}
    return LookedAt(
        name,
        use,
        answered,
        # Gathered by context they stand in another order than the data have them.
        sorted(singles, key=lambda single: order[single.branches[0].example.id]),
        [example for example in examples if example.id not in kept],
    )


def _used_as(example: Example) -> tuple[str, Role]:
    return example.source, example.role


def _singles(contexts: Sequence[Encoded]) -> Iterator[Encoded]:
    for context in contexts:
        for branch in context.branches:
            yield context.with_branches((branch,))


def _show_set(looked: LookedAt, writer: RowWriter, most: int, recipe: Recipe) -> dict[str, Any]:
    return {
        "name": looked.name,
        "use": looked.use,
        "answered": looked.answered,
        "sources": [
            {
                "name": name,
                "role": role,
                "figures": describe_source(
                    part.singles, part.too_long, answered=looked.answered, end_ids=writer.formatter.end_ids
                ),
                "shown": list(_show_examples(part, writer, most, Random(f"{recipe.seed} {looked.name} {name}"))),
            }
            for (name, role), part in looked.by_source().items()
        ],
    }


def _show_examples(part: LookedAt, writer: RowWriter, most: int, generator: Random) -> Iterator[dict[str, Any]]:
    for reasons, single in choose_examples(part.singles, most, generator):
        yield {"why": reasons, "over_length": False, **writer.show_example(single, answered=part.answered)}
    for example in part.too_long[:SHOWN_TOO_LONG]:
        single = writer.formatter.encode(example, answered=part.answered)
        yield {"why": ["over length"], "over_length": True, **writer.show_example(single, answered=part.answered)}


def _describe_image(formatter: Formatter) -> dict[str, int] | None:
    """Return what an image is to the model, or None where it sees none."""
    if not isinstance(formatter, ImageFormatter):
        return None
    return {"side_pixels": formatter.geometry.size, "tokens": formatter.geometry.features}
