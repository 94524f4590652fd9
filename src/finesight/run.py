"""Tables of contents: what a run is, from the recipe to the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from finesight.continuing import learned_earlier, open_start
from finesight.data.asking import ask_about
from finesight.data.leak_pairs import show_leaks
from finesight.data.learned_groups import describe_learned
from finesight.data.sources.read import put_questions
from finesight.environment import describe_run_environment
from finesight.evaluate.image_scores import add_image_scores, open_scorer
from finesight.evaluate.tasks import answer_one, evaluate_all, guess_all, probe, score_all
from finesight.evaluate.verdict import judge
from finesight.keeping import keep_images, require_keepable
from finesight.models.load import describe_model
from finesight.models.loaded import Loaded
from finesight.models.published import describe_stand_ins
from finesight.models.quantize import require_bitsandbytes
from finesight.opening import (
    check_tokens,
    keep_model,
    leave_out_too_long,
    load_best,
    open_untuned,
    read_sets,
    tokenize,
    tokenize_tasks,
    write_thumbnails,
)
from finesight.recipe.model import TextModel
from finesight.recipe.recipe import Recipe
from finesight.report.page import write_report
from finesight.rundir import MEASURED, RunDir
from finesight.runtime import KeepImages, StopRequest, require_one_process, say
from finesight.train.checks.check import Check, describe_checks, require_passed
from finesight.train.checks.parameters import check_parameters
from finesight.train.checks.published import check_published
from finesight.train.fit import fit
from finesight.train.machine import require_machine
from finesight.train.step_plan import TRAINING_TOKENS
from finesight.tune.prepare import describe_parameters, prepare_model


def fine_tune(
    run: RunDir,
    *,
    max_tokens: int | None,
    stop: StopRequest,
    keep: KeepImages = "none",
    earlier: RunDir | None = None,
) -> RunDir:
    """Measure, tune, measure again, and say whether it helped.

    `max_tokens` may be in the model at once; None for what fits into the free memory when measuring, and
    `TRAINING_TOKENS` when training. `keep`: what is kept of images on disk. `earlier`: a run whose answers are taken
    over for `before` where all that decides them is equal. What an earlier start of this run has finished is not done
    again.
    """
    require_one_process()
    recipe = run.recipe
    require_machine(recipe.each_stage())
    require_bitsandbytes(recipe.model.quantization)
    require_keepable(keep, recipe)
    past = learned_earlier(recipe, run.data_root, run.load("learned"))
    sets, description, checks = read_sets(recipe, run.data_root, past)
    require_passed(checks)
    loaded = open_start(recipe, run.data_root, sets, run.model_folder)
    tokens = tokenize(loaded.formatter, sets, recipe)
    checks += check_tokens(loaded, recipe, tokens)
    checks += map(check_parameters, count_parameters(recipe, run.data_root)["stages"])
    require_passed(checks)
    scorer = open_scorer(recipe.clip, sets.tasks, run.data_root)

    # Nothing is written before this line: a recipe that cannot work leaves no folder behind.
    stop.listen()
    run.begin(describe_run_environment(run.data_root, recipe.seed, str(loaded.device)))
    keep_model(loaded, run.model_folder)
    run.save("learned", describe_learned(sets, past))
    run.save("data", {**description, "dropped": list(tokens.dropped)})
    show_leaks(sets, description["leaks"], run.path)
    keep_images(loaded, keep, recipe, tokens.images())
    asked = [task.task for task in tokens.tasks]
    thumbnails = write_thumbnails(asked, run)
    answer = partial(evaluate_all, loaded, tokens.tasks, run, thumbnails=thumbnails, max_tokens=max_tokens, stop=stop)

    answer("before", earlier=earlier)
    # Validation and probe stand beside the optimizer's state in memory: they keep to what training keeps to.
    training_tokens = max_tokens or TRAINING_TOKENS
    for stage in recipe.each_stage():
        run.save_stage("parameters", stage.name, prepare_model(loaded, stage.tune, stage.train))
        run.save_stage("checks", stage.name, describe_checks(checks))
        learned, watched = tokens.of_stage(stage)
        best = fit(
            loaded,
            learned,
            watched,
            stage,
            run,
            evaluate=partial(probe, loaded, tokens.tasks, max_tokens=training_tokens, scorer=scorer),
            max_tokens=training_tokens,
            stop=stop,
        )
        say(f"{stage.name}: best {best.metric} {best.score:.4f}, at step {best.step}")
    answer("after")
    answer("blind", without_context=True)
    guess_all(sets.train, asked, run, thumbnails=thumbnails)
    add_image_scores(scorer, asked, run, stop=stop)

    leaks = [check.message for check in checks if check.name == "leaks" and check.status == "warning"]
    run.save("verdict", judge(run, asked, recipe.seed, leaks))
    write_report(run)
    return run


def measure_only(
    loaded: Loaded,
    run: RunDir,
    *,
    measured: str,
    max_tokens: int | None,
    stop: StopRequest,
    earlier: RunDir | None = None,
) -> RunDir:
    """Measure a model on the tasks of a run folder's recipe, beside its baselines; `measured` says where it is.

    Answers of the `earlier` run or evaluation are taken over where all that decides them is equal.
    """
    recipe = run.recipe
    sets, description, checks = read_sets(recipe, run.data_root)
    for check in checks:
        if check.name == "leaks" and check.status != "pass":
            # No failure here: whether this model has learned from the recipe's training set is not known.
            say(f"warning: {check.message}")
    tasks, dropped = tokenize_tasks(loaded.formatter, sets, recipe)
    scorer = open_scorer(recipe.clip, sets.tasks, run.data_root)
    stop.listen()
    run.begin({"measured": measured, **describe_run_environment(run.data_root, recipe.seed, str(loaded.device))})
    run.save("data", {**description, "dropped": dropped})
    show_leaks(sets, description["leaks"], run.path)
    asked = [task.task for task in tasks]
    thumbnails = write_thumbnails(asked, run)
    answer = partial(evaluate_all, loaded, tasks, run, thumbnails=thumbnails, max_tokens=max_tokens, stop=stop)
    answer(MEASURED, earlier=earlier)
    answer("blind", without_context=True, earlier=earlier)
    guess_all(sets.train, asked, run, thumbnails=thumbnails)
    add_image_scores(scorer, asked, run, stop=stop)
    run.save("scores", score_all(run, asked))
    return run


def check_recipe(recipe: Recipe, data_root: Path) -> Iterator[Check]:
    """Yield everything that is looked at before a run, as it is found. Where the data fail, no model is loaded."""
    yield from check_published(recipe.model, data_root)
    sets, _, checks = read_sets(recipe, data_root, learned_earlier(recipe, data_root))
    yield from checks
    if any(check.status == "failure" for check in checks):
        return
    loaded = open_start(recipe, data_root, sets)
    tokens = tokenize(loaded.formatter, sets, leave_out_too_long(recipe))
    yield from check_tokens(loaded, recipe, tokens)
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


def ask_both(run: RunDir, file: Path, question: str, *, max_new_tokens: int = 64) -> dict[str, str]:
    """Return a run's answers to a question about an image (a text, of a text model), before the tuning and after it.

    The question is put as the recipe's first training source puts its own.
    """
    example = ask_about(file, question, sees_images=not isinstance(run.recipe.model, TextModel))
    example = put_questions(example, run.recipe.data.train[0].prompt)
    loaded = open_untuned(run)
    before = answer_one(loaded, example, max_new_tokens=max_new_tokens)
    load_best(loaded, run)
    return {"before": before, "after": answer_one(loaded, example, max_new_tokens=max_new_tokens)}
