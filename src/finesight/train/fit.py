"""One stage of training, from the plan of its steps to the best checkpoint loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import set_seed

from finesight.errors import DataError
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.numerals import plural
from finesight.processes import agree_to_stop, once
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.rundir import RunDir
from finesight.runtime import Engine, StopRequest, chosen_engine, is_first_process, process_index, progress, say
from finesight.train.arguments import training_arguments
from finesight.train.batches import PlannedSteps, deaths_told
from finesight.train.callbacks import KeepBest, ShowProgress, StopEarly, StopOnRequest, Validation
from finesight.train.checkpoints import (
    Best,
    last_checkpoint,
    read_best,
    require_undamaged,
    step_of,
    tidy_checkpoints,
    write_best,
)
from finesight.train.engines import differ, spreads
from finesight.train.losses import LossSums
from finesight.train.spread import SpreadModel, without_renaming_warnings
from finesight.train.step_plan import examples_in_epoch, plan_steps
from finesight.train.trackers import make_trackers
from finesight.train.trainer import BranchTrainer
from finesight.train.validation import validation_losses
from finesight.tune.weights import load_trained

Probe = Callable[[], dict[str, float]]
"""Scores the tasks that are watched during training: a score for each."""


def fit(
    loaded: Loaded,
    learned: Sequence[Encoded],
    watched: Sequence[Encoded],
    stage: Stage,
    run: RunDir,
    *,
    evaluate: Probe,
    max_tokens: int,
    stop: StopRequest,
) -> Best:
    """Train one stage and leave `loaded` with the checkpoint that validation chose.

    Goes on from the last undamaged checkpoint where an earlier start left one. Raises `Interrupted` when asked to
    stop, after saving a checkpoint, and `UserError` when a process that reads ahead has died.
    """
    folder = run.checkpoints(stage.name)
    once(partial(tidy_checkpoints, folder))
    if (done := once(partial(read_best, folder))) and done.finished:
        return finish(loaded, folder)
    set_seed(run.recipe.seed)
    steps = plan_steps(learned, stage.train, run.recipe.seed)
    resumed, past = once(partial(go_back, run, stage.name, len(steps)))
    callbacks = make_callbacks(stage.train, folder, [row for row in past if row["kind"] == "validation"])
    engine = chosen_engine()
    # Each process draws other random numbers, or dropout would fall on the same places of all rows.
    seed = run.recipe.seed + process_index()
    arguments = training_arguments(
        stage.train, output=folder, steps=len(steps), seed=seed, engine=engine, rows_differ=differ(learned)
    )
    spread = spread_model(loaded, engine, resumed)

    def validate() -> tuple[LossSums, dict[str, float]]:
        with spread.whole() if spread else nullcontext():
            sums = validation_losses(loaded, watched, max_tokens=max_tokens, stop=stop)
            scores = evaluate()
        loaded.model.train()
        return sums, scores

    with progress(f"training {stage.name}", len(steps)) as bar, without_renaming_warnings():
        trainer = BranchTrainer(
            loaded,
            spread,
            arguments,
            PlannedSteps(
                steps,
                loaded.formatter,
                max_tokens=max_tokens,
                rank=arguments.process_index,
                ranks=arguments.world_size,
                in_step=spread is not None,
            ),
            train=stage.train,
            validate=validate,
            run=run,
            stage=stage.name,
            steps_in_epoch=examples_in_epoch(learned) / stage.train.global_batch_size,
            seconds_before=past[-1]["seconds"] if past else 0.0,
            callbacks=[*callbacks, *make_trackers(run, stage), StopOnRequest(stop), ShowProgress(bar)],
        )
        if resumed and lacks_validation(past, step_of(resumed), every=arguments.eval_steps, last=len(steps)):
            trainer.validate_late(resumed)
        if not has_stopped(callbacks):
            with deaths_told():
                trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        if spread:
            spread.close()
    for callback in callbacks:
        if isinstance(callback, StopEarly) and (told := callback.told(len(steps))):
            say(f"{stage.name}: {told}")
    if agree_to_stop(stop):
        raise stop.interruption(f"stopped at step {trainer.state.global_step} of {len(steps)} of stage {stage.name}")
    return finish(loaded, folder)


def spread_model(loaded: Loaded, engine: Engine, resumed: Path | None) -> SpreadModel | None:
    """Return the model as an engine may take it apart, with a checkpoint's weights; None where it stays whole."""
    if not spreads(engine):
        return None
    if resumed:
        load_trained(loaded, resumed)
    return SpreadModel(loaded, engine)


def go_back(run: RunDir, stage: str, steps: int) -> tuple[Path | None, list[dict[str, Any]]]:
    """Return the last complete checkpoint, with the run folder as it was then, and the stage's lines of metrics.jsonl.

    None where there is no checkpoint.
    """
    resumed = last_checkpoint(run.checkpoints(stage))
    step = step_of(resumed) if resumed else 0
    run.drop_metrics_after(stage, step)
    past = [row for row in run.metrics() if row["stage"] == stage]
    if not resumed:
        say(f"{stage}: {plural(steps, 'step')}")
    else:
        say(f"{stage}: going on from step {step} of {steps}")
        # What a checkpoint holds is logged before it is written.
        if (last := past[-1]["step"] if past else 0) < step:
            say(
                f"warning: metrics.jsonl ends at step {last}, and the checkpoint is of step {step}: the lines between "
                "are gone; curves, early stopping and the choice of the best checkpoint go by what is left"
            )
    return resumed, past


def lacks_validation(past: Sequence[Validation], step: int, *, every: int, last: int) -> bool:
    """Return whether a validation was due after `step`, and was put off because the run was asked to stop."""
    is_due = step % every == 0 or step == last
    return is_due and not any(row["kind"] == "validation" and row["step"] == step for row in past)


def make_callbacks(train: Train, folder: Path, past: Sequence[Validation]) -> list[KeepBest | StopEarly]:
    """Return what acts on validations, with what the `past` ones have taught it."""
    stopping = train.early_stopping
    keep_best = KeepBest(folder, stopping.metric if stopping else "eval_loss", train.save_total_limit, past)
    return [keep_best, StopEarly(stopping, past)] if stopping else [keep_best]


def has_stopped(callbacks: Sequence[KeepBest | StopEarly]) -> bool:
    """Return whether an earlier start has already stopped early."""
    return any(isinstance(callback, StopEarly) and callback.stopped_at is not None for callback in callbacks)


def finish(loaded: Loaded, folder: Path) -> Best:
    """Load the checkpoint that validation chose, and note that the stage has come to its end."""
    best = once(partial(read_best, folder))
    assert best is not None, "a stage ends with a validation"
    require_undamaged(folder / best.checkpoint)
    load_trained(loaded, folder / best.checkpoint)
    loaded.model.eval()
    best = replace(best, finished=True)
    if is_first_process():
        write_best(folder, best)
    return best


def with_checkpoints(run: RunDir) -> list[str]:
    """Return the names of the stages that go on from a checkpoint, or have come to their end."""
    return [stage.name for stage in run.recipe.each_stage() if last_checkpoint(run.checkpoints(stage.name))]


def has_begun(run: RunDir, stage: Stage) -> bool:
    """Return whether an earlier start of the run came as far as this stage's training."""
    return run.checkpoints(stage.name).is_dir()


def can_choose(watched: Sequence[Encoded]) -> bool:
    """Return whether a checkpoint can be chosen by these contexts: replay alone never chooses."""
    return any(branch.example.role == "train" for context in watched for branch in context.branches)


def require_watched(watched: Sequence[Encoded]) -> None:
    """Raise `DataError` when there is nothing to choose a checkpoint by."""
    if not can_choose(watched):
        raise DataError(
            "the validation set is empty, so nothing can choose a checkpoint",
            hint="raise data.split.validation, or give data.validation",
        )
