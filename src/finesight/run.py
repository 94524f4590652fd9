"""Tables of contents: what a run is, from the recipe to the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from finesight.checking import Sound, open_checked, require_possible
from finesight.data.asking import ask_about
from finesight.data.leak_pairs import show_leaks
from finesight.data.learned_groups import describe_learned
from finesight.data.sources.read import put_questions
from finesight.environment import describe_run_environment
from finesight.evaluate.image_scores import add_image_scores, open_scorer
from finesight.evaluate.tasks import answer_one, evaluate_all, guess_all, probe, score_all
from finesight.evaluate.verdict import judge
from finesight.keeping import keep_images
from finesight.models.loaded import Loaded
from finesight.opening import (
    keep_model,
    load_best,
    open_untuned,
    read_sets,
    tokenize_tasks,
    write_thumbnails,
)
from finesight.processes import first_goes_first, make_alike, once
from finesight.recipe.model import TextModel
from finesight.report.page import write_report
from finesight.resuming import describe_beginning, take_up
from finesight.rundir import MEASURED, RunDir
from finesight.runtime import KeepImages, StopRequest, is_first_process, say
from finesight.train.checks.check import describe_checks
from finesight.train.fit import fit, with_checkpoints
from finesight.train.reproducible import seed_everything
from finesight.train.step_plan import TRAINING_TOKENS
from finesight.tune.prepare import prepare_model


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
    run, changes = once(partial(take_up, run, with_checkpoints(run)))
    recipe = run.recipe
    say(f"{recipe.name} → {run.path}")
    require_possible(recipe, keep, earlier)
    seed_everything(recipe)
    # Validation, probe and preflight stand beside the optimizer's state in memory: they keep to what training keeps to.
    training_tokens = max_tokens or TRAINING_TOKENS
    sound = open_checked(run, max_tokens=training_tokens)
    loaded, tokens, sets = sound.loaded, sound.tokens, sound.sets
    scorer = open_scorer(recipe.clip, sets.tasks, run.data_root)

    # Nothing is written before this line: a recipe that cannot work leaves no folder behind.
    stop.listen()
    _begin(run, sound, changes)
    with first_goes_first():
        keep_images(loaded, keep, recipe, tokens.images())
    asked = [task.task for task in tokens.tasks]
    thumbnails = once(partial(write_thumbnails, asked, run))
    answer = partial(evaluate_all, loaded, tokens.tasks, run, thumbnails=thumbnails, max_tokens=max_tokens, stop=stop)

    answer("before", earlier=earlier)
    for stage in recipe.each_stage():
        seed_everything(recipe)  # new adapters are equal, whatever this start has drawn for before
        run.save_stage("parameters", stage.name, prepare_model(loaded, stage.tune, stage.train))
        make_alike(parameter for parameter in loaded.model.parameters() if parameter.requires_grad)
        if (checked := sound.of_stage(stage.name)) is not None:
            run.save_stage("checks", stage.name, describe_checks(checked))
        learned, watched = tokens.of_stage(stage)
        best = fit(
            loaded,
            learned,
            watched,
            stage,
            run,
            evaluate=partial(probe, loaded, tokens.tasks, max_tokens=training_tokens, stop=stop, scorer=scorer),
            max_tokens=training_tokens,
            stop=stop,
        )
        say(f"{stage.name}: best {best.metric} {best.score:.4f}, at step {best.step}")
    answer("after")
    answer("blind", without_context=True)
    if not is_first_process():
        return run

    guess_all(sets.train, asked, run, thumbnails=thumbnails)
    add_image_scores(scorer, asked, run, stop=stop)
    leaks = [check.message for check in sound.checks if check.name == "leaks" and check.status == "warning"]
    run.save("verdict", judge(run, asked, recipe.seed, leaks))
    write_report(run)
    return run


def _begin(run: RunDir, sound: Sound, changes: Sequence[str]) -> None:
    """Make the run folder, or take it up again, with what the run rests on."""
    environment = describe_run_environment(run.data_root, run.recipe.seed, str(sound.loaded.device))
    run.begin({**environment, **describe_beginning(run.recipe, sound.fingerprints, changes)})
    run.save("learned", describe_learned(sound.sets, sound.past))
    run.save("data", {**sound.description, "dropped": list(sound.tokens.dropped)})
    if is_first_process():
        keep_model(sound.loaded, run.model_folder)
        show_leaks(sound.sets, sound.description["leaks"], run.path)


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
    environment = describe_run_environment(run.data_root, recipe.seed, str(loaded.device))
    run.begin({"measured": measured, **environment, "fingerprints": description.pop("fingerprints")})
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
