"""What happens between steps: choosing the best checkpoint, stopping early, stopping on request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finesight.processes import agree_to_stop, once
from finesight.recipe.train import EarlyStopping
from finesight.runtime import ProgressBar, StopRequest, is_first_process
from finesight.train.checkpoints import Best, complete_checkpoints, delete_old_checkpoints, write_best

Validation = Mapping[str, Any]
"""A validation's line of metrics.jsonl."""


def scores_of(validation: Validation) -> dict[str, float]:
    """Return what a checkpoint can be chosen by: `eval_loss`, and `eval_<name>` of each watched task."""
    watched = {f"eval_{name}": float(score) for name, score in validation["scores"].items()}
    return {"eval_loss": float(validation["loss_by_role"]["train"]), **watched}


def is_better(metric: str, score: float, over: float, *, by: float = 0.0) -> bool:
    """Return whether `score` is better than `over` by more than `by`: of a loss less is, of any other metric more.

    What is not a number is never better, and any number is better than it.
    """
    if math.isnan(over):
        return not math.isnan(score)
    return (over - score if metric == "eval_loss" else score - over) > by


class KeepBest(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint at every best validation, and remembers which it is.

    transformers' own `load_best_model_at_end` picks another checkpoint when it evaluates more often than it saves.
    `past` are the validations of an earlier start of the run.
    """

    def __init__(self, folder: Path, metric: str, keep: int, past: Sequence[Validation]) -> None:
        self._folder = folder
        self._metric = metric
        self._keep = keep
        self.best: Best | None = None
        there = once(lambda: {checkpoint.name for checkpoint in complete_checkpoints(folder)})
        for validation in past:
            if f"checkpoint-{validation['step']}" in there:
                self._is_best(validation["step"], scores_of(validation))
        self.note_best()

    def _is_best(self, step: int, scores: Mapping[str, float]) -> bool:
        score = scores[self._metric]
        if self.best is not None and not is_better(self._metric, score, self.best.score):
            return False
        self.best = Best(f"checkpoint-{step}", step, self._metric, score)
        return True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a validation after the last step, wherever it falls: the last checkpoint may be the best."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        # What is not yet logged is in no checkpoint: a resumed run could not log it any more.
        if control.should_evaluate or control.should_save:
            control.should_log = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Note the score, and ask for a checkpoint when it is the best so far."""
        if self._is_best(state.global_step, metrics):
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write best.json once the checkpoint it names is on disk, and only then delete what is not needed any more."""
        if not state.is_world_process_zero:
            return
        self.note_best()
        delete_old_checkpoints(self._folder, keep=self._keep, best=self.best)

    def note_best(self) -> None:
        """Write best.json."""
        if self.best is not None and is_first_process():
            write_best(self._folder, self.best)


class StopEarly(TrainerCallback):  # type: ignore[misc]
    """Stops when the metric has not improved for a number of optimizer steps, however often it is evaluated.

    `past` are the validations of an earlier start of the run.
    """

    def __init__(self, settings: EarlyStopping, past: Sequence[Validation]) -> None:
        self._settings = settings
        self._score: float | None = None
        self._step = 0
        self.stopped_at: int | None = None
        for validation in past:
            self._compare(validation["step"], scores_of(validation))

    def told(self, planned: int) -> str:
        """Return that a stage of so many planned steps was stopped early, and why; nothing where it was not."""
        if self.stopped_at is None or self.stopped_at >= planned:
            return ""
        return self._settings.told(self.stopped_at, planned)

    def _compare(self, step: int, scores: Mapping[str, float]) -> None:
        metric, least = self._settings.metric, self._settings.min_delta
        score = scores[metric]
        if self._score is None or is_better(metric, score, self._score, by=least):
            self._score, self._step = score, step
        elif step - self._step >= self._settings.patience_steps:
            self.stopped_at = step

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Compare with the last improvement."""
        self._compare(state.global_step, metrics)
        if self.stopped_at is not None:
            control.should_training_stop = True


class StopOnRequest(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint and stops after the step in which a person or a queue asked to stop.

    Whichever process was asked, all of them stop.
    """

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint and the end."""
        if agree_to_stop(self._stop):
            control.should_log = True
            control.should_save = True
            control.should_training_stop = True


class ShowProgress(TrainerCallback):  # type: ignore[misc]
    """Moves the progress bar on."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Skip what an earlier start has done."""
        self._bar.advance(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Note one step."""
        self._bar.advance()
