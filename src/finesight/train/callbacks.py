"""What happens between steps: choosing the best checkpoint, stopping early, stopping on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finesight.errors import UserError
from finesight.recipe.train import EarlyStopping
from finesight.runtime import ProgressBar, StopRequest
from finesight.train.checkpoints import Best, read_best, write_best


class KeepBest(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint at every best validation, and remembers which it is.

    transformers' own `load_best_model_at_end` picks another checkpoint when it evaluates more often than it saves.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self._folder = folder
        self._metric = metric
        self._sign = 1.0 if metric.startswith("eval_loss") else -1.0
        self.best = read_best(folder)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a validation after the last step, wherever it falls: the last checkpoint may be the best."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Note the score, and ask for a checkpoint when it is the best so far."""
        if self._metric not in metrics:
            raise UserError(
                f"early_stopping.metric: there is no {self._metric}",
                hint=f"a validation gives {', '.join(sorted(metrics))}; a task `from: validation` gives eval_<name>",
            )
        score = metrics[self._metric]
        if self.best is None or self._sign * score < self._sign * self.best.score:
            self.best = Best(f"checkpoint-{state.global_step}", state.global_step, self._metric, score)
            state.best_model_checkpoint = str(self._folder / self.best.checkpoint)
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Write best.json once the checkpoint it names is on disk."""
        if self.best is not None and (self._folder / self.best.checkpoint).is_dir():
            write_best(self._folder, self.best)


class StopEarly(TrainerCallback):  # type: ignore[misc]
    """Stops when the metric has not improved for a number of optimizer steps, however often it is evaluated."""

    def __init__(self, settings: EarlyStopping, best: Best | None) -> None:
        self._settings = settings
        self._sign = 1.0 if settings.metric.startswith("eval_loss") else -1.0
        self._score = best.score if best else None
        self._step = best.step if best else 0
        self.stopped_at: int | None = None

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Compare with the last improvement."""
        score = metrics[self._settings.metric]
        if self._score is None or self._sign * (self._score - score) > self._settings.min_delta:
            self._score, self._step = score, state.global_step
        elif state.global_step - self._step >= self._settings.patience_steps:
            self.stopped_at = state.global_step
            control.should_training_stop = True


class StopOnRequest(TrainerCallback):  # type: ignore[misc]
    """Saves a checkpoint and stops after the step in which a person or a queue asked to stop."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for a checkpoint and the end."""
        if self._stop.asked:
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
