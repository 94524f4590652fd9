"""From a recipe to its sets: what is learned, what chooses the checkpoint, what is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finesight.data.asking_once import ask_once, with_repeats
from finesight.data.claims import Claim, claim_examples
from finesight.data.fingerprints import fingerprint
from finesight.data.groups import join_groups
from finesight.data.leaks import find_leaks
from finesight.data.look_alikes import LookAlikes
from finesight.data.mix import mix
from finesight.data.split import REST, draw, split_groups
from finesight.errors import DataError, UserError
from finesight.numerals import plural
from finesight.recipe.data import Data, Stratify
from finesight.recipe.evaluate import SetTask, Task
from finesight.recipe.recipe import Recipe
from finesight.schema import OWN_SETS, Example, Sampling, Sets, TaskExamples

_TOP_ANSWERS = 10
_KINDS: Mapping[Stratify, Callable[[Example], str] | None] = {
    "none": None,
    "answer_type": lambda example: example.answer_type,
    "question_type": lambda example: example.question_type,
}


def read_all(recipe: Recipe, data_root: Path) -> tuple[Sets, dict[str, Any]]:
    """Return the recipe's sets, and what `data.json` says of them (but for examples dropped by length, yet to come).

    Train, validation and test are disjoint by group where they are divided here. Uses of one source (as replay and a
    forgetting task) are disjoint by group too. Overlaps of sets that the recipe gives apart are reported as leaks.
    Raises `DataError` for faults of the data and for sets that come out empty, `UserError` for uses that exclude
    each other.
    """
    data = recipe.data
    claims, own_tasks = _claims(recipe)
    examples, look_alikes = claim_examples(claims, data_root, recipe.seed, look_alikes=data.split.look_alikes)
    claimed = iter(examples)
    test = _together(next(claimed) for _ in data.test)
    validation = _together(next(claimed) for _ in data.validation)
    task_examples = {name: next(claimed) for name in own_tasks}
    learned = join_groups(_together(claimed), look_alikes)

    divided = _divide(learned, data, recipe.seed)
    sets = Sets(
        train=tuple(mix(divided[REST], data.mixing_temperature)),
        validation=tuple(divided.get("validation", validation)),
        test=tuple(divided.get("test", test)),
        tasks=(),
    )
    _check_sets(sets, recipe)
    tasks = tuple(_fill_task(task, sets, task_examples, recipe.seed) for task in recipe.evaluate)
    sets = replace(sets, tasks=tasks)
    return sets, describe_sets(sets, data, look_alikes)


def read_tasks(tasks: Sequence[Task], data_root: Path, seed: int) -> tuple[tuple[TaskExamples, ...], dict[str, Any]]:
    """Return tasks with sources of their own, which nobody learns from, and what `data.json` says of them.

    Tasks on one source are disjoint by group; images that look alike are in one group. Raises as `read_all` does.
    """
    claims, names = _claims_of_tasks(tasks)
    examples, _ = claim_examples(claims, data_root, seed, look_alikes=True)
    own = dict(zip(names, examples, strict=True))
    filled = tuple(_fill_task(task, Sets((), (), (), ()), own, seed) for task in tasks)
    return filled, {
        "sets": {f"task:{task.name}": _describe(task.examples) for task in filled},
        "asked_once": {task.name: task.repeats for task in filled if task.repeats},
    }


def describe_sets(sets: Sets, data: Data, look_alikes: LookAlikes) -> dict[str, Any]:
    """Return the content of `data.json`: each set in figures, and the leaks between them."""
    named: dict[str, Sequence[Example]] = {"train": sets.train, "validation": sets.validation, "test": sets.test}
    named |= {f"task:{task.name}": task.examples for task in sets.tasks if task.drawn_from not in OWN_SETS}
    return {
        "sets": {name: _describe(examples) for name, examples in named.items()},
        "asked_once": {task.name: task.repeats for task in sets.tasks if task.repeats},
        "dropped": [],
        "fingerprints": {name: fingerprint(examples) for name, examples in named.items()},
        "leaks": find_leaks(sets, look_alikes, data.leakage_threshold),
        "leakage_threshold": data.leakage_threshold,
        "allow_leakage": data.allow_leakage,
    }


def _claims(recipe: Recipe) -> tuple[list[Claim], list[str]]:
    claims = [Claim("data.test", spec, learned=False) for spec in recipe.data.test]
    claims += [Claim("data.validation", spec, learned=False) for spec in recipe.data.validation]
    of_tasks, own_tasks = _claims_of_tasks(recipe.evaluate)
    claims += of_tasks
    claims += [Claim("data.train", spec, learned=True) for spec in recipe.data.train]
    return claims, own_tasks


def _claims_of_tasks(tasks: Sequence[Task]) -> tuple[list[Claim], list[str]]:
    claims: list[Claim] = []
    names: list[str] = []
    for task in tasks:
        if isinstance(task, SetTask):
            continue
        if task.role == "memorization":
            raise UserError(
                f"the task {task.name} measures memorization, but on a source of its own",
                hint="memorization is measured on what was learned: give `from: train` instead of a source",
            )
        claims.append(Claim(f"the task {task.name}", task, learned=False))
        names.append(task.name)
    return claims, names


def _divide(learned: Sequence[Example], data: Data, seed: int) -> dict[str, list[Example]]:
    shares: dict[str, float] = {}
    if not data.validation:
        shares["validation"] = data.split.validation
    if not data.test:
        shares["test"] = data.split.test
    replayed = {example.group for example in learned if example.role == "replay"}
    # The verdict is on the task that is specialised: replay never goes to test, nor does a group that holds some.
    replay_shares = {name: share for name, share in shares.items() if name != "test"}
    kind_of = _kind_of(data.split.stratify, learned)
    special = split_groups([example for example in learned if example.group not in replayed], shares, seed, kind_of)
    replay = split_groups([example for example in learned if example.group in replayed], replay_shares, seed, kind_of)
    return {name: special[name] + replay.get(name, []) for name in special}


def _kind_of(stratify: Stratify, learned: Iterable[Example]) -> Callable[[Example], str] | None:
    """Return what gives an example's kind, where a split keeps the shares of kinds. Raise `DataError` without kinds."""
    kind_of = _KINDS[stratify]
    if kind_of is not None and not any(map(kind_of, learned)):
        raise DataError(
            f"data.split.stratify: the {stratify} of every example of data.train is empty",
            hint=f"name its column (columns.{stratify}), or take stratify out",
        )
    return kind_of


def _fill_task(task: Task, sets: Sets, own: dict[str, list[Example]], seed: int) -> TaskExamples:
    if isinstance(task, SetTask):
        drawn_from: str = task.from_
        of_set = {"train": sets.train, "validation": sets.validation, "test": sets.test}[task.from_]
        # Replay is watched in the loss; a score on it would mix two questions.
        there = [example for example in of_set if example.role != "replay"]
        examples = draw(ask_once(there), task.max_samples, seed)
    else:
        there = own[task.name]
        examples = ask_once(there)
        drawn_from = examples[0].source
    if not examples:
        raise _nothing_to_ask(task.name, drawn_from, sets)
    if task.answer_by == "likelihood":
        _require_choices(task.name, examples)
    return TaskExamples(
        name=task.name,
        role=task.role,
        metric=task.metric,
        also=task.also,
        max_new_tokens=task.max_new_tokens,
        examples=tuple(replace(example, role=task.role) for example in examples),
        drawn_from=drawn_from,
        repeats=len(with_repeats(examples, there)) - len(examples),
        answer_by=task.answer_by,
        stop=task.stop,
        sampling=Sampling(task.temperature, task.top_p, seed) if task.temperature else None,
    )


def _nothing_to_ask(task: str, drawn_from: str, sets: Sets) -> DataError:
    """Return the error of a task whose set is empty, or holds only replay."""
    everything = [*sets.train, *sets.validation, *sets.test]
    special = [example for example in everything if example.role != "replay"]
    groups = len({example.group for example in special})
    beside = " beside replay" if len(special) < len(everything) else ""
    told = f"the task {task} has no examples: the {drawn_from} set holds none{beside}"
    if drawn_from == "train":
        return DataError(told, hint="give data.train the data of the task itself, not only replay")
    if special and groups < len(OWN_SETS):
        return DataError(
            f"{told}, because {plural(len(special), 'example')} form {plural(groups, 'group')}, and a group is never "
            "divided: one image or document, with those that look alike",
            hint=f"give more images or documents, or data.{drawn_from} a source; where images look alike and are not "
            "the same, set data.split.look_alikes: false",
        )
    return DataError(told, hint=f"raise data.split.{drawn_from}, or give data.{drawn_from} a source")


def _require_choices(task: str, examples: Sequence[Example]) -> None:
    lacking = [example.id for example in examples if not example.choices]
    if lacking:
        raise DataError(
            f"the task {task} is answered by likelihood, but {len(lacking):,} of {len(examples):,} questions have no "
            f"options to choose from (first: {lacking[0]})",
            hint="set answer_by: generation, or give the task a source with options, as kind: multiple_choice",
        )


def _check_sets(sets: Sets, recipe: Recipe) -> None:
    if not sets.train:
        raise DataError("nothing is left to learn from", hint="give data.train more examples, or set less of it aside")
    stopping = [stage.name for stage in recipe.each_stage() if stage.train.early_stopping]
    if stopping and not sets.validation:
        raise DataError(
            f"early stopping (stage {', '.join(stopping)}) needs a validation set, and it is empty",
            hint="raise data.split.validation, give data.validation a source, or take early_stopping out",
        )


def _together(sources: Iterable[Sequence[Example]]) -> list[Example]:
    return [example for source in sources for example in source]


def _describe(examples: Sequence[Example]) -> dict[str, Any]:
    contexts = {
        (tuple(image.content_hash() for image in example.images), example.context)
        if example.has_context
        else example.id
        for example in examples
    }
    answers = Counter(example.answer for example in examples)
    return {
        "examples": len(examples),
        "contexts": len(contexts),
        "groups": len({example.group for example in examples}),
        "by_source": dict(Counter(example.source for example in examples)),
        "by_role": dict(Counter(example.role for example in examples)),
        "answer_types": dict(Counter(example.answer_type for example in examples if example.answer_type)),
        "top_answers": [[answer, count] for answer, count in answers.most_common(_TOP_ANSWERS)],
    }
