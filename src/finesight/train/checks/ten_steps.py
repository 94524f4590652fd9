"""The check that a stage learns: its loss on one batch falls over ten steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from finesight.runtime import Engine
from finesight.train.checks.check import Check
from finesight.train.checks.rates import ADAM_LIKE
from finesight.train.checks.room import MAIN_MEMORY, free_bytes, in_gib
from finesight.train.checks.trial_step import Trial, computing_format
from finesight.train.checks.untouched import Kept
from finesight.train.incidents import KNOWN_BY_HEART

STEPS = 10
ROUNDING = {torch.float32: 1e-5, torch.float16: 5e-4, torch.bfloat16: 2e-3}
"""Changes of a loss, as a share of it, that say nothing in a number format."""
USUAL_RATE = 1e-4
"""Taken where the recipe's optimizer has rates of another size than AdamW's."""


@dataclass(frozen=True)
class Fall:
    """What ten steps did to the loss of their own rows."""

    before: float
    after: float
    silent: tuple[str, ...]
    """What should learn, and whose gradient was exactly zero in every step."""

    def is_more_than(self, rounding: float) -> bool:
        """Return whether the loss fell, by more than rounding."""
        return self.before - self.after > rounding * self.before

    def is_less_than(self, rounding: float) -> bool:
        """Return whether the loss moved no further than rounding."""
        return abs(self.before - self.after) <= rounding * self.before

    @property
    def told(self) -> str:
        """Say it in figures."""
        return f"{self.before:.4f} → {self.after:.4f}"


def lacking_room(trial: Trial, engine: Engine) -> Check | None:
    """Return the check that says why ten steps are left out, where what learns is more than fits; else None."""
    size = sum(each.numel() * each.element_size() for each in trial.learning.values())
    # The gradient and AdamW's two states lie beside the model, the copy of what learns in main memory.
    on_gpu = trial.loaded.device.type == "cuda"
    wanted = {trial.loaded.device: 3 * size, MAIN_MEMORY: size} if on_gpu else {MAIN_MEMORY: 4 * size}
    for device, needed in wanted.items():
        room = free_bytes(device)
        if needed > room:
            where = "of main memory" if device == MAIN_MEMORY else "beside the model"
            spread = "" if engine == "ddp" else f"; in the run, {engine} spreads them over the processes"
            return Check(
                f"ten steps of {trial.stage.name}",
                "warning",
                f"left out: on one process they need {in_gib(needed)} {where}, and {in_gib(room)} are free{spread}",
                hint="`finesight plan` says what the run itself needs",
            )
    return None


def check_ten_steps(trial: Trial, kept: Kept) -> Check:
    """Take ten steps on one batch, at the recipe's rates; where that shows nothing, at others. Leaves what was learned.

    Every attempt starts from `kept`. AdamW steps, whatever the recipe's optimizer: it needs nothing but gradients.
    """
    name, rounding = f"ten steps of {trial.stage.name}", ROUNDING[computing_format(trial.loaded, trial.stage.train)]
    own = take_ten(trial, 1.0)
    if own.before < KNOWN_BY_HEART:
        return Check(name, "pass", f"the loss of one batch is {own.before:.2g} before any step: it cannot fall much")
    at_own = "the recipe's learning rates" if trial.stage.train.optim in ADAM_LIKE else f"AdamW's rate {USUAL_RATE:g}"
    if own.is_more_than(rounding):
        silent = f"; the gradient of {', '.join(own.silent[:3])} was always zero" if own.silent else ""
        return Check(
            name,
            "warning" if own.silent else "pass",
            f"the loss of one batch falls at {at_own}: {own.told}{silent}",
            hint="is that part of the model used at all? `finesight params` shows it" if own.silent else "",
        )
    for factor in (10.0, 100.0, 1000.0) if own.is_less_than(rounding) else (0.1, 0.01, 0.001):
        kept.put_back()
        other = take_ten(trial, factor)
        if other.is_more_than(rounding):
            return Check(
                name,
                "pass" if factor > 1 else "warning",
                f"the loss of one batch {'does not move yet' if factor > 1 else 'rises'} at {at_own} ({own.told}), and "
                f"falls at {factor:g} times these ({other.told})",
                hint="" if factor > 1 else "lower the learning rate, or give train.warmup_steps",
            )
    return Check(
        name,
        "failure",
        f"the loss of one batch does not fall, neither at {at_own} ({own.told}) nor at others",
        hint="does the recipe let enough learn? `finesight params` shows what does, `finesight look` what it sees",
    )


def take_ten(trial: Trial, factor: float) -> Fall:
    """Take ten steps at `factor` times the recipe's peak rates, and return what became of the loss without dropout."""
    before = trial.settled_loss()
    optimizer = _optimizer(trial, factor)
    silent = trial.learning
    for _ in range(STEPS):
        trial.gradients()
        silent = {name: each for name, each in silent.items() if each.grad is None or not bool(each.grad.any())}
        optimizer.step()
    trial.drop_gradients()
    after = trial.settled_loss()
    return Fall(before, after if math.isfinite(after) else math.inf, tuple(sorted(silent)))


def _optimizer(trial: Trial, factor: float) -> torch.optim.AdamW:
    train, parts = trial.stage.train, trial.loaded.parts
    groups = []
    for part in parts.present:
        own = [parameter for name, parameter in trial.learning.items() if parts.part_of(name) == part]
        rate = train.learning_rate_of(part) if train.optim in ADAM_LIKE else USUAL_RATE
        if own:
            assert rate is not None, "the recipe gives every part that learns a rate"
            groups.append({"params": own, "lr": factor * rate})
    # One tensor at a time: all at once would hold another copy of them.
    return torch.optim.AdamW(groups, weight_decay=0.0, foreach=False)
