"""The check of a stage's plan: can its steps be filled, and how many are there."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from finesight.errors import UserError
from finesight.models.encoded import Encoded
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.train.checks.check import Check
from finesight.train.step_plan import plan_steps


def check_steps(stage: Stage, learned: Sequence[Encoded], seed: int) -> Check:
    """Plan the stage's steps. Raises `UserError` when a step cannot be filled or taken."""
    require_optimizer(stage.train)
    steps = plan_steps(learned, stage.train, seed)
    contexts = sum(len(step) for step in steps) / len(steps)
    return Check(
        f"steps of {stage.name}",
        "pass",
        f"{len(steps):,} steps of exactly {stage.train.global_batch_size} examples, "
        f"about {contexts:.1f} contexts in each",
    )


def require_optimizer(train: Train) -> None:
    """Raise `UserError` when the optimizer needs a package that is not there."""
    if "8bit" in train.optim and find_spec("bitsandbytes") is None:
        raise UserError(f"train.optim: {train.optim} needs bitsandbytes", hint="pip install 'finesight[quantize]'")
