"""The check that learning rates are of the size that what learns can bear, and can use."""

from __future__ import annotations

from collections.abc import Iterator

from finesight.models.loaded import Loaded
from finesight.recipe.recipe import Stage
from finesight.recipe.tune import Lora
from finesight.schema import PART_NAMES, PartName
from finesight.train.checks.check import Check

ADAM_LIKE = ("adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit")
"""Optimizers that move every weight by about the learning rate in a step, whatever the gradient's size."""
TOO_HIGH_FOR_FULL = 1e-3
"""Weights of a checkpoint are mostly smaller than 0.1: some dozens of such steps replace what they hold."""
TOO_LOW_FOR_LORA = 5e-6
"""Adapters begin at zero: thousands of such steps leave them there."""
TOO_HIGH_FOR_LORA = 1e-2


def check_learning_rates(loaded: Loaded, stage: Stage) -> Check:
    """Say where a part's learning rate is far from what its tuning needs.

    A projector and parts that began as random numbers bear more than a checkpoint's weights, and only the rates of
    AdamW mean the same in every model; of others nothing is said.
    """
    name = f"learning rates of {stage.name}"
    if stage.train.optim not in ADAM_LIKE:
        return Check(name, "pass", f"{stage.train.optim} has rates of its own size; they are not judged")
    faults = list(_faults(loaded, stage))
    if faults:
        messages, hints = zip(*faults, strict=True)
        return Check(name, "warning", "; ".join(messages), hint="; ".join(dict.fromkeys(hints)))
    rates = {part: stage.train.learning_rate_of(part) for part in _learning(loaded, stage)}
    return Check(name, "pass", ", ".join(f"{part} {rate:g}" for part, rate in rates.items()))


def _learning(loaded: Loaded, stage: Stage) -> list[PartName]:
    return [part for part in PART_NAMES if part in loaded.parts.present and stage.tune.of(part) != "frozen"]


def _faults(loaded: Loaded, stage: Stage) -> Iterator[tuple[str, str]]:
    for part in _learning(loaded, stage):
        rate, tuning = stage.train.learning_rate_of(part), stage.tune.of(part)
        assert rate is not None, "the recipe gives every part that learns a rate"
        if isinstance(tuning, Lora) and rate < TOO_LOW_FOR_LORA:
            yield f"{part} has adapters, which hardly move at {rate:g}", "2e-5 to 2e-4 is usual for lora"
        if isinstance(tuning, Lora) and rate >= TOO_HIGH_FOR_LORA:
            yield f"{part} has adapters, and {rate:g} is more than they bear", "2e-5 to 2e-4 is usual for lora"
        settled = part != "projector" and part not in loaded.random_parts
        if tuning == "full" and settled and rate >= TOO_HIGH_FOR_FULL:
            yield (
                f"{part} is tuned in full at {rate:g}: what its checkpoint holds is soon gone",
                "1e-5 to 5e-5 is usual for full tuning of a checkpoint",
            )
