"""The checks of a stage's plan: can its steps be filled, how many are there, and what chooses among them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from finesight.models.encoded import Encoded
from finesight.recipe.recipe import Stage
from finesight.recipe.train import Train
from finesight.train.arguments import validation_interval
from finesight.train.checks.check import Check
from finesight.train.machine import require_optimizer
from finesight.train.step_plan import Step, plan_steps


def check_steps(stage: Stage, learned: Sequence[Encoded], seed: int) -> Check:
    """Plan the stage's steps. Raises `UserError` when a step cannot be filled or taken."""
    require_optimizer(stage.train)
    steps = plan_steps(learned, stage.train, seed)
    contexts = sum(len(step) for step in steps) / len(steps)
    told = (
        f"{len(steps):,} steps of exactly {stage.train.global_batch_size} examples, "
        f"about {contexts:.1f} contexts in each; {_mixture(learned, steps)}"
    )
    idle = list(idle_settings(stage.train, len(steps)))
    return Check(f"steps of {stage.name}", "warning" if idle else "pass", "; ".join([*idle, told]), hint=_hint(idle))


def idle_settings(train: Train, steps: int) -> Iterator[str]:
    """Yield the settings that can never act in so many steps. A validation always follows the last one."""
    every = validation_interval(train, steps)
    if every > steps:
        yield f"eval_steps {every:,} never comes, so the only validation is after the last step"
    if train.warmup_steps >= steps:
        yield f"warmup_steps {train.warmup_steps:g} leaves no step at the full learning rate"
    if stopping := train.early_stopping:
        # The first validation is the first to be improved on; patience ends at the first one that is so much later.
        earliest = every * (1 + math.ceil(stopping.patience_steps / every))
        if earliest >= steps:
            yield f"early stopping could first act at step {earliest:,}, so it never does"


def _hint(idle: Sequence[str]) -> str:
    return "lower these, or train for more steps" if idle else ""


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
