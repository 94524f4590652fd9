"""One stage of training, from the plan of its steps to the best checkpoint loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from transformers import set_seed

from finesight.errors import DataError, Interrupted
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, progress, say
from finesight.train.arguments import training_arguments
from finesight.train.batches import PlannedSteps
from finesight.train.callbacks import KeepBest, ShowProgress, StopEarly, StopOnRequest
from finesight.train.checkpoints import Best, last_checkpoint, read_best, write_best
from finesight.train.losses import LossSums
from finesight.train.step_plan import plan_steps
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
    train, folder = stage.train, run.checkpoints(stage.name)
    if (done := read_best(folder)) and done.finished:
        return finish(loaded, folder)
    require_watched(watched)
    set_seed(run.recipe.seed)
    steps = plan_steps(learned, train, run.recipe.seed)
    eval_steps = train.eval_steps or max(1, math.ceil(len(steps) / 10))
    keep_best = KeepBest(folder, train.early_stopping.metric if train.early_stopping else "eval_loss")
    callbacks = [keep_best, StopOnRequest(stop)]
    if train.early_stopping:
        callbacks.append(StopEarly(train.early_stopping, keep_best.best))
    arguments = training_arguments(
        train,
        output=folder,
        steps=len(steps),
        eval_steps=eval_steps,
        save_steps=train.save_steps or eval_steps,
        seed=run.recipe.seed,
    )

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
            train=train,
            validate=validate,
            run=run,
            stage=stage.name,
            steps_in_epoch=sum(len(context.branches) for context in learned) / train.global_batch_size,
            callbacks=[*callbacks, ShowProgress(bar)],
        )

        resumed = last_checkpoint(folder)
        if resumed is not None:
            step = int(resumed.name.rsplit("-", 1)[1])
            run.drop_metrics_after(stage.name, step)
            say(f"{stage.name}: going on from step {step} of {len(steps)}")
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if stop.asked:
        raise Interrupted(f"stopped at step {trainer.state.global_step} of {len(steps)} of stage {stage.name}")
    return finish(loaded, folder)


def finish(loaded: Loaded, folder: Path) -> Best:
    """Load the checkpoint that validation chose, and note that the stage has come to its end."""
    best = read_best(folder)
    assert best is not None, "a stage ends with a validation"
    load_trained(loaded, folder / best.checkpoint)
    loaded.model.eval()
    best = replace(best, finished=True)
    write_best(folder, best)
    return best


def require_watched(watched: Sequence[Encoded]) -> None:
    """Raise `DataError` when there is nothing to choose a checkpoint by."""
    if not any(branch.example.role == "train" for context in watched for branch in context.branches):
        raise DataError(
            "the validation set is empty, so nothing can choose a checkpoint",
            hint="raise data.split.validation, or give data.validation",
        )
