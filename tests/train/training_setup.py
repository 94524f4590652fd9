"""A small model, its examples as contexts, and a run folder to train in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finesight.branches.contexts import share_contexts
from finesight.models.encoded import Encoded
from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Recipe, Stage
from finesight.rundir import RunDir
from finesight.runtime import StopRequest
from finesight.schema import Example
from finesight.train.batches import PlannedSteps, StepBatches
from finesight.train.fit import fit
from finesight.train.trainer import BranchTrainer
from finesight.tune.prepare import prepare_model

FULL = {"vision": "full", "projector": "full", "language": "full"}


def of_two_sources(examples: Iterable[Example]) -> list[Example]:
    """Return the examples, every third of them replayed from another source."""
    return [
        replace(example, source="general", role="replay") if number % 3 == 2 else example
        for number, example in enumerate(examples)
    ]


def contexts_of(loaded: Loaded, examples: Iterable[Example]) -> list[Encoded]:
    """Return the examples as contexts with answered branches."""
    return share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)


def stage_of(tune: dict[str, Any], **train: Any) -> Stage:
    """Return a stage of small steps."""
    settings = {"global_batch_size": 4, "max_steps": 3, "logging_steps": 1, "learning_rate": 1e-3, **train}
    return Stage.model_validate({"tune": tune, "train": settings})


def new_run(folder: Path) -> RunDir:
    """Return an empty run."""
    recipe = Recipe.model_validate({
        "name": "trial",
        "model": {"kind": "llava", "name_or_path": "model"},
        "data": {"train": [{"kind": "scenes"}]},
        "tune": FULL,
        "evaluate": [{"name": "held_out", "from": "test"}],
    })  # fmt: skip
    return RunDir.new(recipe, folder, folder)


def train_stage(
    loaded: Loaded, examples: Iterable[Example], stage: Stage, folder: Path, *, max_tokens: int = 4096
) -> RunDir:
    """Train one stage and return its run."""
    run = new_run(folder)
    prepare_model(loaded, stage.tune, stage.train)
    contexts = contexts_of(loaded, examples)
    fit(loaded, contexts, contexts, stage, run, evaluate=dict, max_tokens=max_tokens, stop=StopRequest())
    return run


def capture_trainer(monkeypatch: pytest.MonkeyPatch, act: Callable[[BranchTrainer], None]) -> None:
    """Make `fit` hand its trainer over instead of training."""

    def hand_over(trainer: BranchTrainer, **arguments: Any) -> None:
        act(trainer)
        raise Captured

    monkeypatch.setattr(BranchTrainer, "train", hand_over)


class Captured(Exception):
    """The trainer was handed over."""


def step_of(contexts: list[Encoded], loaded: Loaded, *, max_tokens: int, rank: int = 0, ranks: int = 1) -> StepBatches:
    """Return one step of all the contexts as a rank computes it."""
    return PlannedSteps([tuple(contexts)], loaded.formatter, max_tokens=max_tokens, rank=rank, ranks=ranks)[0]
