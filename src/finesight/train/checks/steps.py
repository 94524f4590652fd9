"""The checks of a stage's plan: can its steps be filled, how many are there, and what chooses among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from finesight.models.encoded import Encoded
from finesight.recipe.recipe import Stage
from finesight.train.checks.check import Check
from finesight.train.machine import require_optimizer
from finesight.train.step_plan import Step, plan_steps


def check_steps(stage: Stage, learned: Sequence[Encoded], seed: int) -> Check:
    """Plan the stage's steps. Raises `UserError` when a step cannot be filled or taken."""
    require_optimizer(stage.train)
    steps = plan_steps(learned, stage.train, seed)
    contexts = sum(len(step) for step in steps) / len(steps)
    return Check(
        f"steps of {stage.name}",
        "pass",
        f"{len(steps):,} steps of exactly {stage.train.global_batch_size} examples, "
        f"about {contexts:.1f} contexts in each; {_mixture(learned, steps)}",
    )


def _mixture(learned: Sequence[Encoded], steps: Sequence[Step]) -> str:
    """Return how often the plan takes the examples of each source, counted in the plan itself."""
    there = Counter(branch.example.source for context in learned for branch in context.branches)
    taken = Counter(branch.example.source for step in steps for context in step for branch in context.branches)
    return ", ".join(f"{taken[name]:,} of {name} ({taken[name] / there[name]:.1f} × each)" for name in there)


def check_watched(stage: Stage, watched: Sequence[Encoded]) -> Check:
    """A stage with sources of its own is chosen by their share of the validation set, where they have one."""
    name, sources = f"validation of {stage.name}", ", ".join(stage.sources)
    examples = [branch.example for context in watched for branch in context.branches]
    if all(example.source in stage.sources for example in examples):
        return Check(name, "pass", f"{len(examples):,} examples of {sources} choose the checkpoint")
    return Check(
        name,
        "warning",
        f"the validation set holds nothing of {sources} beside replay, so all of it chooses the checkpoint",
        hint="raise data.split.validation, or give data.validation a source",
    )
