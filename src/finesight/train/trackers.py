"""Experiment trackers: TensorBoard, Weights & Biases and MLflow, by transformers' own integrations.

They are told the recipe and the figures of metrics.jsonl, and nothing of the data. Of the integrations only the
beginning is changed: they would tell the `TrainingArguments`, which say little of planned steps, and a configuration.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import MLflowCallback, TensorBoardCallback, WandbCallback

from finesight.errors import UserError
from finesight.recipe.reading import dump_recipe
from finesight.recipe.recipe import Recipe, Stage
from finesight.recipe.train import Tracker
from finesight.rundir import RunDir
from finesight.runtime import say

PROJECT = "finesight"
"""The Weights & Biases project and the MLflow experiment, unless the environment names another."""
FOLDER = "trackers"
"""Where trackers keep their files in the run folder, unless the environment names another place."""
PACKAGES: Mapping[Tracker, str] = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def require_trackers(recipe: Recipe) -> None:
    """Raise `UserError` for a tracker whose package is not installed, and for MLflow when it is not said where to."""
    require_tracker_packages(recipe)
    # Its own default, files in the folder one happens to be in, it does not take itself any more.
    if "mlflow" in _trackers(recipe) and "MLFLOW_TRACKING_URI" not in os.environ:
        raise UserError(
            "train.report_to: mlflow is not told where to: MLFLOW_TRACKING_URI is not set",
            hint="a server, as MLFLOW_TRACKING_URI=http://localhost:5000; or a file, sqlite:///mlflow.db, for "
            "which it needs `pip install mlflow`",
        )


def require_tracker_packages(recipe: Recipe) -> None:
    """Raise `UserError` for a tracker whose package is not installed."""
    for tracker in _trackers(recipe):
        if find_spec(PACKAGES[tracker]) is None:
            raise UserError(
                f"train.report_to: {tracker} is not installed",
                hint="pip install 'finesight[track]', or leave it out: metrics.jsonl has the same figures",
            )


def _trackers(recipe: Recipe) -> list[Tracker]:
    return [tracker for stage in recipe.each_stage() for tracker in stage.train.report_to]


def make_trackers(run: RunDir, stage: Stage) -> list[TrainerCallback]:
    """Return a callback for each tracker of a stage. A stage is a run of the tracker's own, as its steps count anew."""
    make: Mapping[Tracker, Callable[[RunDir, Stage], TrainerCallback]] = {
        "tensorboard": ToTensorBoard,
        "wandb": ToWandb,
        "mlflow": ToMLflow,
    }
    return [make[tracker](run, stage) for tracker in stage.train.report_to]


def figures(row: Mapping[str, Any]) -> dict[str, float]:
    """Return a line of metrics.jsonl as trackers take it: a figure for each name, a validation's begin with `eval_`."""
    prefix = "eval_" if row["kind"] == "validation" else ""
    return {f"{prefix}{name}": value for name, value in _figures(row) if name not in ("step", "planned_steps")}


def _figures(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{inner}", figure) for inner, figure in _figures(value))
        elif isinstance(value, int | float):
            yield name, value


def _name(run: RunDir, stage: Stage) -> str:
    """Return the name of a stage's run: that of the run folder, with the stage where there are several."""
    several = len(run.recipe.each_stage()) > 1
    return f"{run.path.name}-{stage.name}" if several else run.path.name


class ToTensorBoard(TensorBoardCallback):  # type: ignore[misc]
    """Writes TensorBoard's event files, in `trackers/tensorboard/<stage>`."""

    logging_dir: str | None

    def __init__(self, run: RunDir, stage: Stage) -> None:
        super().__init__()
        self._run = run
        if self.logging_dir is None:
            self.logging_dir = str(run.path / FOLDER / "tensorboard" / stage.name)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the recipe."""
        if state.is_world_process_zero:
            self._init_summary_writer(args)
            self.tb_writer.add_text("recipe", _as_code(dump_recipe(self._run.recipe)))


class ToWandb(WandbCallback):  # type: ignore[misc]
    """Sends to Weights & Biases; with `WANDB_MODE=offline` it writes files, in `trackers/wandb`, and sends nothing."""

    def __init__(self, run: RunDir, stage: Stage) -> None:
        super().__init__()
        self._run = run
        self._stage = stage

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any, **kwargs: Any) -> None:
        """Begin a run and tell the recipe. Log, git repository and command, which may quote data, are not sent."""
        self._initialized = True
        if not state.is_world_process_zero:
            return
        folder = Path(os.environ.get("WANDB_DIR", self._run.path / FOLDER))
        folder.mkdir(parents=True, exist_ok=True)
        self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=_name(self._run, self._stage),
            group=self._run.path.name,
            dir=str(folder),
            config=self._run.recipe.model_dump(mode="json"),
            settings=self._wandb.Settings(
                console="off", disable_git=True, save_code=False, silent=True, x_disable_meta=True
            ),
        )
        if not self._wandb.run.offline:
            say(f"{self._stage.name}: followed at {self._wandb.run.url}")
        self._wandb.define_metric("train/global_step")
        self._wandb.define_metric("*", step_metric="train/global_step", step_sync=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run: the next stage has its own."""
        if state.is_world_process_zero:
            self._wandb.finish()


class ToMLflow(MLflowCallback):  # type: ignore[misc]
    """Sends to where `MLFLOW_TRACKING_URI` says."""

    def __init__(self, run: RunDir, stage: Stage) -> None:
        super().__init__()
        self._run = run
        self._stage = stage

    def setup(self, args: TrainingArguments, state: TrainerState, model: Any) -> None:
        """Begin a run and tell the recipe."""
        self._initialized = self._auto_end_run = True
        self._async_log = True
        if not state.is_world_process_zero:
            return
        self._ml_flow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        self._ml_flow.start_run(run_name=_name(self._run, self._stage))
        self._ml_flow.set_tag("recipe", dump_recipe(self._run.recipe))


def _as_code(text: str) -> str:
    """Return text as a block of Markdown that keeps its lines."""
    return "".join(f"    {line}\n" for line in text.splitlines())
