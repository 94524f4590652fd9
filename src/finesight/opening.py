"""What a run opens before it computes anything: its data, its model, and the data as the model's tokens."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from finesight.branches.contexts import keep_sources, share_contexts
from finesight.data.images import THUMBNAILS, verify_images, write_thumbnail
from finesight.data.learned_groups import LearnedEarlier, find_earlier_leaks
from finesight.data.sets import read_all
from finesight.errors import DataError, UserError, WriteError
from finesight.evaluate.measure import TokenizedTask
from finesight.models.encoded import Encoded
from finesight.models.export import save_tokenizer
from finesight.models.formatter import Formatter
from finesight.models.lengths import EncodedSet, encode_set
from finesight.models.load import load_formatter, load_model
from finesight.models.loaded import Loaded
from finesight.processes import make_alike, once
from finesight.recipe.recipe import Recipe, Stage
from finesight.rundir import RunDir, how_to_go_on
from finesight.runtime import follow, is_first_process
from finesight.schema import Example, ImageSource, Sets, TaskExamples
from finesight.train.checkpoints import read_best, require_undamaged
from finesight.train.checks.check import Check
from finesight.train.checks.data import check_data
from finesight.train.checks.dry_run import check_every_example
from finesight.train.checks.model import check_answer_lengths, check_model, check_precision
from finesight.train.checks.rates import check_learning_rates
from finesight.train.checks.steps import check_steps, check_watched
from finesight.train.fit import can_choose, require_watched
from finesight.tune.weights import load_trained, save_adapters, save_parts, take_off_adapters

MOST_THUMBNAILS = 1000
"""Images of which the run folder keeps a small copy: enough for a gallery, bounded for a large test set."""


@dataclass(frozen=True)
class Tokenized:
    """A run's sets as tokens."""

    learned: tuple[Encoded, ...]
    """The training set: each context once, all its questions behind it."""
    watched: tuple[Encoded, ...]
    """The validation set, likewise."""
    tasks: tuple[TokenizedTask, ...]
    dropped: tuple[dict[str, Any], ...]
    """Examples left out for their length, as data.json says it."""

    def images(self) -> list[ImageSource]:
        """Return every image of every set once."""
        contexts = [*self.learned, *self.watched, *(question for task in self.tasks for question in task.questions)]
        return list({image.content_hash(): image for context in contexts for image in context.images}.values())

    def of_stage(self, stage: Stage) -> tuple[list[Encoded], list[Encoded]]:
        """Return what a stage learns from, and what chooses its checkpoint.

        Where none of the validation set is of the stage's sources, or only replay is, all of it is watched.
        """
        watched = keep_sources(self.watched, stage.sources)
        return keep_sources(self.learned, stage.sources), watched if can_choose(watched) else list(self.watched)


def read_sets(
    recipe: Recipe, data_root: Path, earlier: LearnedEarlier | None = None
) -> tuple[Sets, dict[str, Any], list[Check]]:
    """Return the recipe's sets, what data.json says of them, and the checks that need no model.

    `earlier` is what the runs that this one continues have learned from: the sets are held against that too. Every
    image is decoded once, so that a broken one is named now and not after hours.
    """
    sets, description = read_all(recipe, data_root)
    if earlier is not None:
        description["leaks"] += find_earlier_leaks(sets, earlier, recipe.data.leakage_threshold)
    everything = [sets.train, sets.validation, sets.test, *(task.examples for task in sets.tasks)]
    if is_first_process():
        verify_images(image for examples in everything for example in examples for image in example.images)
    return sets, description, list(check_data(recipe, sets, description["leaks"], earlier))


def open_model(recipe: Recipe, data_root: Path, sets: Sets, kept: Path | None = None) -> Loaded:
    """Return the recipe's model as it is before any tuning.

    `kept` is the folder in which `keep_model` may have kept, at an earlier start, what no checkpoint elsewhere holds.
    """
    saved = kept if kept is not None and once(kept.is_dir) else None
    texts = partial(training_texts, sets.train)
    loaded = load_model(recipe.model, data_root=data_root, seed=recipe.seed, texts=texts, saved=saved)
    if saved is not None:
        load_trained(loaded, saved)
    if recipe.model.continue_from is not None:
        # What began as random numbers in the earlier run is random no more.
        loaded.random_parts = frozenset()
        loaded.trains_on = recipe.model.continue_from.adapters == "train"
    for part in sorted(loaded.random_parts):
        make_alike(parameter.parameter for parameter in loaded.parts.parameters_of(loaded.model, part))
    loaded.model.eval()
    return loaded


def open_formatter(recipe: Recipe, data_root: Path, sets: Sets) -> Formatter:
    """Return how the recipe's model is spoken to; its weights are not read."""
    return load_formatter(recipe.model, data_root=data_root, texts=partial(training_texts, sets.train))


def keep_model(loaded: Loaded, folder: Path) -> None:
    """Keep tokenizer, processor, configuration, and the weights that are nowhere else; once, and all or none.

    These are parts that began as random numbers, and whatever an earlier run has learned that this one starts from.

    Raises `WriteError` when they cannot be written.
    """
    if folder.is_dir():
        return
    staging = folder.with_name(f"{folder.name}.partial")
    try:
        save_adapters(loaded, staging)
        save_parts(loaded, staging, loaded.random_parts | loaded.earlier_parts)
        loaded.formatter.save_image_processor(staging)
        save_tokenizer(loaded.formatter.tokenizer, staging)
        loaded.model.config.save_pretrained(staging)
        staging.replace(folder)
    except SafetensorError as error:
        raise WriteError(f"{folder}: the model cannot be written ({error})", hint="is the disk full?") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_untuned(run: RunDir) -> Loaded:
    """Return a run's model as it was before tuning. Raises `UserError` when the run has not come so far."""
    if not run.model_folder.is_dir():
        raise UserError(f"{run.path}: the run has no model yet", hint=how_to_go_on(run.path))
    return open_model(run.recipe, run.data_root, Sets((), (), (), ()), run.model_folder)


def load_best(loaded: Loaded, run: RunDir) -> None:
    """Load into a run's model what validation chose in its last stage.

    Raises `UserError` when the run has not come so far, and `ModelError` when what it has learned is damaged.
    """
    checkpoint = best_checkpoint(run)
    require_undamaged(checkpoint)
    # Those that the run started from: a later stage may have merged them, or made others.
    take_off_adapters(loaded)
    load_trained(loaded, checkpoint)
    loaded.model.eval()


def best_checkpoint(run: RunDir) -> Path:
    """Return the checkpoint that validation chose in a run's last stage.

    Raises `UserError` when the run has not come so far.
    """
    folder = run.checkpoints(run.recipe.each_stage()[-1].name)
    best = read_best(folder)
    if best is None:
        raise UserError(f"{run.path}: the run has no checkpoint of its last stage yet", hint=how_to_go_on(run.path))
    return folder / best.checkpoint


def training_texts(examples: Sequence[Example]) -> Iterable[str]:
    """Yield what is said in the examples, a shared context once: the text that a new tokenizer is learned from."""
    yield from dict.fromkeys(example.context for example in examples if example.context)
    yield from (turn.text for example in examples for turn in example.turns)


def tokenize(formatter: Formatter, sets: Sets, recipe: Recipe) -> Tokenized:
    """Return the sets as tokens. Raises `DataError` for examples over length, unless the recipe drops them."""
    encode = partial(encode_set, formatter, data=recipe.data, answered=True)
    train, validation = encode(sets.train, name="train"), encode(sets.validation, name="validation")
    require_some("train", train, recipe)
    tasks, dropped = tokenize_tasks(formatter, sets, recipe)
    return Tokenized(
        learned=tuple(share_contexts(train.singles)),
        watched=tuple(share_contexts(validation.singles)),
        tasks=tasks,
        dropped=(
            *describe_dropped("train", train.too_long, recipe),
            *describe_dropped("validation", validation.too_long, recipe),
            *dropped,
        ),
    )


def leave_out_too_long(recipe: Recipe) -> Recipe:
    """Return the recipe for a look at the data: what is too long is left out and counted, and ends nothing."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"over_length": "drop"})})


def tokenize_tasks(
    formatter: Formatter, sets: Sets, recipe: Recipe
) -> tuple[tuple[TokenizedTask, ...], list[dict[str, Any]]]:
    """Return the tasks' questions as tokens, and what was left out for its length as data.json says it."""
    tasks, dropped = [], []
    for task in sets.tasks:
        questions = encode_set(formatter, task.examples, recipe.data, name=task.name, answered=False)
        require_some(f"the task {task.name}", questions, recipe)
        kept = tuple(single.branches[0].example for single in questions.singles)
        tasks.append(TokenizedTask(replace(task, examples=kept), questions.singles))
        dropped += describe_dropped(f"task:{task.name}", questions.too_long, recipe)
    return tuple(tasks), dropped


def require_some(name: str, encoded: EncodedSet, recipe: Recipe) -> None:
    """Raise `DataError` when dropping what is too long has left nothing of a set."""
    if not encoded.singles:
        raise DataError(
            f"{name}: all {len(encoded.too_long)} examples have more than {recipe.data.max_length} tokens",
            hint="raise data.max_length",
        )


def describe_dropped(name: str, too_long: Sequence[Example], recipe: Recipe) -> list[dict[str, Any]]:
    """Return what data.json says of the examples of a set that were left out for their length."""
    if not too_long:
        return []
    reason = f"over {recipe.data.max_length} tokens"
    first = [example.id for example in too_long[:5]]
    return [{"source": name, "reason": reason, "examples": len(too_long), "first": first}]


def check_tokens(loaded: Loaded, recipe: Recipe, tokens: Tokenized) -> list[Check]:
    """Return the checks of the model against the data, and of every stage's plan.

    Raises `UserError` for a recipe that cannot be trained on these data.
    """
    require_watched(tokens.watched)
    checks = list(check_data_set(loaded.formatter, recipe, tokens))
    checks += check_model(loaded, recipe.each_stage()[0], tokens.learned)
    checks += [check_answer_lengths(loaded, task.task) for task in tokens.tasks]
    for stage in recipe.each_stage():
        learned, watched = tokens.of_stage(stage)
        checks += [check_precision(loaded, stage), check_learning_rates(loaded, stage)]
        checks.append(check_steps(stage, learned, recipe.seed))
        if stage.sources and not recipe.data.validation:
            checks.append(check_watched(stage, watched))
    return checks


def check_data_set(formatter: Formatter, recipe: Recipe, tokens: Tokenized) -> Iterator[Check]:
    """Yield the checks of every example as tokens; they need no weights."""
    asked = [question for task in tokens.tasks for question in task.questions]
    yield from check_every_example(formatter, [*tokens.learned, *tokens.watched], asked, recipe.data, tokens.dropped)


def write_thumbnails(tasks: Sequence[TaskExamples], run: RunDir) -> Mapping[str, str]:
    """Return small copies of the tasks' images, made where they are not there yet, by the image's content hash."""
    shown = (image for task in tasks for example in task.examples for image in example.images[:1])
    chosen = list({image.content_hash(): image for image in shown}.items())[:MOST_THUMBNAILS]
    return {
        content_hash: f"{THUMBNAILS}/{write_thumbnail(image, run.path / THUMBNAILS)}"
        for content_hash, image in follow(chosen, "making thumbnails", len(chosen))
    }
