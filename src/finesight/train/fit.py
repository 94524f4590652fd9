"""One stage of training, from the plan of its steps to the best checkpoint loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from finesight.errors import DataError, Interrupted
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, progress, say
from finesight.train.arguments import training_arguments
from finesight.train.batches import PlannedSteps
from finesight.train.callbacks import KeepBest, ShowProgress, StopEarly, StopOnRequest, Validation
from finesight.train.checkpoints import Best, last_checkpoint, read_best, step_of, write_best
from finesight.train.losses import LossSums
from finesight.train.step_plan import examples_in_epoch, plan_steps
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

    Goes on from the last complete checkpoint where an earlier start left one. Raises `Interrupted` when asked to
    stop, after saving a checkpoint.
    """
    folder = run.checkpoints(stage.name)
    if (done := read_best(folder)) and done.finished:
        return finish(loaded, folder)
    set_seed(run.recipe.seed)
    steps = plan_steps(learned, stage.train, run.recipe.seed)
    resumed = go_back(run, stage.name, len(steps))
    past = [row for row in run.metrics() if row["stage"] == stage.name]
    callbacks = make_callbacks(stage.train, folder, [row for row in past if row["kind"] == "validation"])
    arguments = training_arguments(stage.train, output=folder, steps=len(steps), seed=run.recipe.seed)

    def validate() -> tuple[LossSums, dict[str, float]]:
        sums = validation_losses(loaded, watched, max_tokens=max_tokens, stop=StopRequest())
        scores = evaluate()
        loaded.model.train()
        return sums, scores

    with progress(f"training {stage.name}", len(steps)) as bar:
        trainer = BranchTrainer(
            loaded,
            arguments,
            PlannedSteps(
                steps,
                loaded.formatter,
                max_tokens=max_tokens,
                rank=arguments.process_index,
                ranks=arguments.world_size,
            ),
            train=stage.train,
            validate=validate,
            run=run,
            stage=stage.name,
            steps_in_epoch=examples_in_epoch(learned) / stage.train.global_batch_size,
            seconds_before=past[-1]["seconds"] if past else 0.0,
            callbacks=[*callbacks, StopOnRequest(stop), ShowProgress(bar)],
        )
        if not has_stopped(callbacks):
            trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if stop.asked:
        raise Interrupted(f"stopped at step {trainer.state.global_step} of {len(steps)} of stage {stage.name}")
    return finish(loaded, folder)


def go_back(run: RunDir, stage: str, steps: int) -> Path | None:
    """Return the last complete checkpoint, with the run folder as it was then; None where there is none."""
    resumed = last_checkpoint(run.checkpoints(stage))
    run.drop_metrics_after(stage, step_of(resumed) if resumed else 0)
    if resumed:
        say(f"{stage}: going on from step {step_of(resumed)} of {steps}")
    return resumed


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
    best = read_best(folder)
    assert best is not None, "a stage ends with a validation"
    load_trained(loaded, folder / best.checkpoint)
    loaded.model.eval()
    best = replace(best, finished=True)
    write_best(folder, best)
    return best


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
