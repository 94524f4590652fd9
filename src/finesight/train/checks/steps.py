"""The check of a stage's plan: can its steps be filled, and how many are there."""

from __future__ import annotations

from collections.abc import Sequence

from finesight.models.encoded import Encoded
from finesight.recipe.recipe import Stage
from finesight.train.checks.check import Check
from finesight.train.step_plan import plan_steps


def check_steps(stage: Stage, learned: Sequence[Encoded], seed: int) -> Check:
    """Plan the stage's steps. Raises `UserError` when a step cannot be filled."""
    steps = plan_steps(learned, stage.train, seed)
    contexts = sum(len(step) for step in steps) / len(steps)
    return Check(
        f"steps of {stage.name}",
        "pass",
        f"{len(steps):,} steps of exactly {stage.train.global_batch_size} examples, "
        f"about {contexts:.1f} contexts in each",
    )
