"""Everything that is looked at before a run, and what the run then begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finesight.continuing import learned_earlier, open_start, open_start_formatter
from finesight.data.fingerprints import Fingerprints
from finesight.data.learned_groups import LearnedEarlier
from finesight.errors import UserError
from finesight.evaluate.image_scores import open_scorer
from finesight.evaluate.taking_over import require_one_process_to_reuse
from finesight.keeping import require_keepable
from finesight.models.load import describe_model
from finesight.models.loaded import Loaded
from finesight.models.published import describe_stand_ins
from finesight.models.quantize import require_bitsandbytes
from finesight.opening import Tokenized, check_data_set, check_tokens, leave_out_too_long, read_sets, tokenize
from finesight.processes import first_goes_first, once
from finesight.recipe.recipe import Recipe
from finesight.resuming import compare_with_beginning
from finesight.rundir import RUNS, RunDir
from finesight.runtime import KeepImages, say
from finesight.schema import Sets
from finesight.train.checks.check import Check, require_passed, say_what_was_checked
from finesight.train.checks.parameters import check_parameters
from finesight.train.checks.preflight import preflight_stages
from finesight.train.checks.published import check_published
from finesight.train.checks.steps import check_steps
from finesight.train.engines import require_alike_rows, require_fitting_engine
from finesight.train.fit import has_begun
from finesight.train.machine import require_machine, require_optimizer
from finesight.train.step_plan import TRAINING_TOKENS
from finesight.train.trackers import require_tracker_packages, require_trackers
from finesight.tune.prepare import describe_parameters


@dataclass(frozen=True)
class Sound:
    """What a run begins with, after every check has let it pass."""

    sets: Sets
    past: LearnedEarlier | None
    """What the runs that this one continues have learned from."""
    description: dict[str, Any]
    """What data.json says of the sets."""
    fingerprints: Fingerprints
    loaded: Loaded
    tokens: Tokenized
    checks: list[Check]
    tried: dict[str, list[Check]]
    """What was found by trying each stage that has not begun, by its name."""

    def of_stage(self, name: str) -> list[Check] | None:
        """Return all that was checked before a stage; None for one that had begun before this start."""
        return [*self.checks, *self.tried[name]] if name in self.tried else None


def require_possible(recipe: Recipe, keep: KeepImages, earlier: RunDir | None) -> None:
    """Raise `UserError` for what this machine, its packages or the chosen engine cannot do, before anything is read."""
    require_machine(recipe.each_stage())
    require_bitsandbytes(recipe.model.quantization)
    require_keepable(keep, recipe)
    require_fitting_engine(recipe, keep)
    require_trackers(recipe)
    require_one_process_to_reuse(earlier)


def require_packages(recipe: Recipe) -> None:
    """Raise `UserError` for a package that the recipe needs and that is not installed."""
    require_bitsandbytes(recipe.model.quantization)
    require_tracker_packages(recipe)
    for stage in recipe.each_stage():
        require_optimizer(stage.train)


def check_packages(recipe: Recipe) -> Check:
    """Return whether what the recipe needs besides finesight itself is installed, and trackers are told where to."""
    try:
        require_packages(recipe)
        require_trackers(recipe)
    except UserError as error:
        return Check("packages", "failure", error.message, error.hint)
    return Check("packages", "pass", "what the recipe needs is installed")


def open_checked(run: RunDir, *, max_tokens: int) -> Sound:
    """Open a run's data and model and check both; `max_tokens` as in training. Writes nothing that stays.

    Raises `CheckFailed` where they are unsound, and `DataError` where the data are not those that the run began with.
    """
    recipe = run.recipe
    past = learned_earlier(recipe, run.data_root, run.load("learned"))
    with first_goes_first():
        sets, description, checks = read_sets(recipe, run.data_root, past)
    require_passed(checks)
    fingerprints = description.pop("fingerprints")
    once(partial(compare_with_beginning, run, fingerprints))
    loaded = open_start(recipe, run.data_root, sets, run.model_folder)
    tokens = tokenize(loaded.formatter, sets, recipe)
    require_alike_rows(tokens.learned)
    checks += check_tokens(loaded, recipe, tokens)
    checks += map(check_parameters, count_parameters(recipe, run.data_root)["stages"])
    require_passed(checks)
    stages = [(stage, tokens.of_stage(stage)[0]) for stage in recipe.each_stage()]
    begun = {stage.name for stage in recipe.each_stage() if has_begun(run, stage)}
    trying = partial(preflight_stages, loaded, stages, seed=recipe.seed, max_tokens=max_tokens, folder=run.path)
    tried = once(partial(trying, begun=begun))
    require_passed(check for found in tried.values() for check in found)
    everything = [*checks, *(check for found in tried.values() for check in found)]
    say_what_was_checked(everything, of_stand_ins=run.is_rehearsal)
    return Sound(sets, past, description, fingerprints, loaded, tokens, checks, tried)


def check_recipe(
    recipe: Recipe,
    data_root: Path,
    *,
    deep: bool = False,
    max_tokens: int = TRAINING_TOKENS,
    folder: Path = RUNS,
) -> Iterator[Check]:
    """Yield everything that is looked at before a run, as it is found. Where the data fail, no model is loaded.

    With `deep`, every stage is also tried on real rows, unless something has failed before; a checkpoint is
    written in `folder`, where the run will write, and deleted.
    """
    yield check_packages(recipe)
    yield from check_published(recipe.model, data_root)
    sets, _, checks = read_sets(recipe, data_root, learned_earlier(recipe, data_root))
    yield from checks
    if any(check.status == "failure" for check in checks):
        return
    open_scorer(recipe.clip, sets.tasks, data_root)  # raises what would end the run
    loaded = open_start(recipe, data_root, sets)
    tokens = tokenize(loaded.formatter, sets, leave_out_too_long(recipe))
    checks = check_tokens(loaded, recipe, tokens)
    checks += map(check_parameters, count_parameters(recipe, data_root)["stages"])
    yield from checks
    if not deep or any(check.status == "failure" for check in checks):
        return
    stages = [(stage, tokens.of_stage(stage)[0]) for stage in recipe.each_stage()]
    for tried in preflight_stages(loaded, stages, seed=recipe.seed, max_tokens=max_tokens, folder=folder).values():
        yield from tried


def check_without_weights(recipe: Recipe, data_root: Path, keep: KeepImages) -> Iterator[Check]:
    """Yield what can be looked at in little memory and without a GPU, as on a cluster's login node, as it is found.

    Raises `UserError` for a recipe that the chosen engine or the packages that are installed cannot train.
    """
    require_packages(recipe)
    require_keepable(keep, recipe)
    require_fitting_engine(recipe, keep)
    sets, _, checks = read_sets(recipe, data_root, learned_earlier(recipe, data_root))
    yield from checks
    if any(check.status == "failure" for check in checks):
        return
    formatter = open_start_formatter(recipe, data_root, sets)
    tokens = tokenize(formatter, sets, leave_out_too_long(recipe))
    require_alike_rows(tokens.learned)
    yield from check_data_set(formatter, recipe, tokens)
    for stage in recipe.each_stage():
        yield check_steps(stage, tokens.of_stage(stage)[0], recipe.seed)
    yield from map(check_parameters, count_parameters(recipe, data_root)["stages"])
    open_scorer(recipe.clip, sets.tasks, data_root)  # raises what would end the run


def count_parameters(recipe: Recipe, data_root: Path) -> dict[str, Any]:
    """Return the content of parameters.json for a recipe, without weights; blueprints stand in for what is not here."""
    for words in describe_stand_ins(recipe.model, data_root):
        say(words)
    stages = []
    for stage in recipe.each_stage():
        model, parts = describe_model(recipe.model, data_root=data_root, may_stand_in=True)
        stages.append({"stage": stage.name, **describe_parameters(model, parts, stage)})
    return {"stages": stages}
