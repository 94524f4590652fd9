"""Continuing: a run that starts from what an earlier run has tuned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finesight.data.learned_groups import LearnedEarlier, learned_by
from finesight.errors import UserError
from finesight.models.formatter import Formatter
from finesight.models.loaded import Loaded
from finesight.opening import best_checkpoint, load_best, open_formatter, open_model
from finesight.recipe.model import AssembledModel, Continuation, ImageLoading, Model, TextModel, TokenizerSpec
from finesight.recipe.recipe import Recipe
from finesight.recipe.tune import Lora, Tune
from finesight.rundir import RunDir, how_to_go_on
from finesight.runtime import say
from finesight.schema import PART_NAMES, Sets
from finesight.train.checkpoints import read_best
from finesight.tune.prepare import merge_adapters
from finesight.tune.weights import stored_parts

_MAY_DIFFER = (frozenset(ImageLoading.model_fields) | {"crops", "rows", "image_processor"}) - {"quantization"}
"""How the same model may be loaded and spoken to otherwise than the earlier run did."""
_OF_TRAINING = ("lora_dropout",)
"""The only field of an adapter that is not its shape, and may change where it is trained on."""


def open_start(recipe: Recipe, data_root: Path, sets: Sets, kept: Path | None = None) -> Loaded:
    """Return the model as it is before this run tunes it: as it was published, or as an earlier run has left it.

    `kept` is the run's own folder of what it started from, where an earlier start has written it: then nothing else is
    read. Raises `UserError` where the recipe cannot continue the earlier run.
    """
    continued = recipe.model.continue_from
    if continued is None or (kept is not None and kept.is_dir()):
        return open_model(recipe, data_root, sets, kept)
    earlier = find_earlier(recipe, continued, data_root)
    loaded = open_model(recipe, data_root, sets, earlier.model_folder)
    load_best(loaded, earlier)
    if continued.adapters == "merge":
        merge_adapters(loaded)
    checkpoint = best_checkpoint(earlier)
    loaded.earlier_parts = stored_parts(earlier.model_folder) | stored_parts(checkpoint) | loaded.changed_parts
    # From here on it counts what this run changes: a checkpoint need not repeat what the run folder keeps once.
    loaded.changed_parts.clear()
    done = {"merge": "its adapters are merged", "train": "its adapters are trained on"}[continued.adapters]
    say(f"starts from {continued.run}, {checkpoint.name}; {done}")
    return loaded


def open_start_formatter(recipe: Recipe, data_root: Path, sets: Sets) -> Formatter:
    """Return how the model of `open_start` is spoken to; its weights are not read."""
    model, continued = recipe.model, recipe.model.continue_from
    if continued is not None and isinstance(model, AssembledModel | TextModel):
        # The tokenizer may be one that the earlier run learned, and this one must not learn another.
        own = TokenizerSpec(name_or_path=str(find_earlier(recipe, continued, data_root).model_folder.resolve()))
        recipe = recipe.model_copy(update={"model": model.model_copy(update={"tokenizer": own})})
    return open_formatter(recipe, data_root, sets)


def learned_earlier(recipe: Recipe, data_root: Path, begun: Mapping[str, Any] | None = None) -> LearnedEarlier | None:
    """Return what the runs that the recipe continues have learned from; None where it continues none.

    `begun` is the run's own learned.json, where it has begun: the earlier run may be gone since.
    """
    continued = recipe.model.continue_from
    if continued is None:
        return None
    if begun:
        return LearnedEarlier.from_json(begun["earlier"])
    return learned_by(find_earlier(recipe, continued, data_root).load("learned"), continued.run)


def find_earlier(recipe: Recipe, continued: Continuation, data_root: Path) -> RunDir:
    """Return the run that the recipe continues.

    Raises `UserError` where there is none, where it is not finished, and where its model, or the adapters that are to
    be trained on, are not the recipe's.
    """
    earlier = RunDir.existing(data_root / Path(continued.run).expanduser())
    if earlier.is_evaluation or earlier.is_rehearsal:
        what = "an evaluation, which tuned nothing" if earlier.is_evaluation else "a rehearsal, of a miniature"
        raise UserError(f"model.continue_from: {continued.run} is {what}", hint="give the folder of a finished run")
    last = earlier.recipe.each_stage()[-1]
    best = read_best(earlier.checkpoints(last.name))
    if best is None or not best.finished:
        raise UserError(f"model.continue_from: {continued.run} is not finished", hint=how_to_go_on(earlier.path))
    _require_same_model(recipe.model, data_root, earlier, continued)
    if continued.adapters == "train":
        _require_same_adapters(recipe.each_stage()[0].tune, last.tune, continued)
    elif recipe.model.quantization != "none" and _adapted(last.tune):
        raise UserError(
            "model.continue_from merges adapters, and what is merged into 4-bit weights would be rounded away",
            hint="set model.continue_from.adapters: train; or `finesight export` the run, and name that folder in "
            "name_or_path",
        )
    return earlier


def _require_same_model(model: Model, data_root: Path, earlier: RunDir, continued: Continuation) -> None:
    """Raise `UserError` where the earlier run tuned another model than the recipe's."""
    ours, theirs = _identity(model), _identity(earlier.recipe.model)
    for name in {**ours, **theirs}:
        here, there = ours.get(name), theirs.get(name)
        if here != there and _placed(here, data_root) != _placed(there, earlier.data_root):
            raise UserError(
                f"model.{name} is {here}, but the run to continue, {continued.run}, tuned a model with {there}",
                hint="give the model that it was given; or `finesight export` that run, and name the folder in "
                "name_or_path",
            )


def _identity(model: Model) -> dict[str, Any]:
    """Return the fields that say which model it is."""
    return model.model_dump(mode="json", exclude=set(_MAY_DIFFER))


def _placed(value: Any, data_root: Path) -> Any:
    """Return a field's value with folders below the data root by their full paths: two recipes may lie apart."""
    if isinstance(value, dict):
        return {name: _placed(inner, data_root) for name, inner in value.items()}
    if isinstance(value, str) and (folder := data_root / Path(value).expanduser()).is_dir():
        return str(folder.resolve())
    return value


def _require_same_adapters(ours: Tune, theirs: Tune, continued: Continuation) -> None:
    """Raise `UserError` where a recipe would not train the earlier run's adapters on as they are."""
    if not _adapted(theirs):
        raise UserError(
            f"model.continue_from.adapters is train, but {continued.run} ended without adapters",
            hint="leave `adapters` out: the weights that it tuned are taken as they are",
        )
    for part in PART_NAMES:
        here, there = ours.of(part), theirs.of(part)
        if not isinstance(there, Lora) or _shape(here) == _shape(there):
            continue
        wanted = ", ".join(f"{name}: {value}" for name, value in _shape(there).items())
        raise UserError(
            f"tune.{part} describes another adapter than the one of {continued.run}, which is to be trained on",
            hint=f"set {wanted}; or model.continue_from.adapters: merge, for new adapters over the earlier ones",
        )


def _adapted(tune: Tune) -> bool:
    return any(isinstance(tune.of(part), Lora) for part in PART_NAMES)


def _shape(tuning: object) -> dict[str, Any]:
    """Return what an adapter is made of; nothing of a part that has none."""
    return tuning.model_dump(mode="json", exclude=set(_OF_TRAINING)) if isinstance(tuning, Lora) else {}
