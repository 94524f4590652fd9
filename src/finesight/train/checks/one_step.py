"""The checks of one real step: its loss, its gradients, and what must not have moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from finesight.models.loaded import Loaded
from finesight.numerals import plural
from finesight.recipe.recipe import Stage
from finesight.train.checks.check import Check
from finesight.train.checks.formats import WIDER, remedy_for_no_number
from finesight.train.checks.room import free_bytes, in_gib
from finesight.train.checks.trial_step import Trial, computing_format

_NAMED = 3
_RANDOM_IS_OFF = 0.25
"""A model of random numbers gives every token about the same chance; a loss further from that, as a share, is odd."""
SMALL_VOCABULARY = 10_000
"""Below so many tokens, a word that a checkpoint never learned is a token of its own, and may cost more than guessing.
Larger vocabularies spell new words with known pieces."""
_SMALLER = "lower --max-tokens-per-device, or set train.gradient_checkpointing: true"


@dataclass(frozen=True)
class StepTaken:
    """What one forward and backward pass gave."""

    loss: float
    without: tuple[str, ...]
    """What should learn and got no gradient."""
    not_numbers: tuple[str, ...]
    """What got a gradient that is no number."""
    elsewhere: tuple[str, ...]
    """What should not learn and got a gradient."""
    reached: int
    """Tensors that got one and should."""


def take_step(trial: Trial) -> StepTaken:
    """Compute the gradients of the trial's rows, look at them, and drop them."""
    loss = trial.gradients()
    learning = trial.learning
    found = {name: parameter.grad for name, parameter in learning.items()}
    step = StepTaken(
        loss,
        without=tuple(name for name, gradient in found.items() if gradient is None),
        not_numbers=tuple(name for name, gradient in found.items() if gradient is not None and not _is_sound(gradient)),
        elsewhere=tuple(
            name
            for name, parameter in trial.loaded.model.named_parameters()
            if not parameter.requires_grad and parameter.grad is not None
        ),
        reached=sum(gradient is not None for gradient in found.values()),
    )
    trial.drop_gradients()
    return step


def lacking_room_for_gradients(trial: Trial) -> Check | None:
    """Return the check that fails where not even the gradients fit into memory; else None."""
    needed = sum(each.numel() * each.element_size() for each in trial.learning.values())
    room = free_bytes(trial.loaded.device)
    if needed <= room:
        return None
    return Check(
        f"one step of {trial.stage.name}",
        "failure",
        f"gradients take {in_gib(needed)}, and {in_gib(room)} of memory are free",
        hint="tune by lora, or spread the model: launch with --engine zero3 or fsdp",
    )


def describe_lack(trial: Trial, error: torch.OutOfMemoryError) -> Check:
    """Return the check of a step for which memory ran out."""
    told = f"{_size_of(trial)} do not fit into memory: {str(error).splitlines()[0]}"
    return Check(f"one step of {trial.stage.name}", "failure", told, hint=_SMALLER)


def check_step(trial: Trial, step: StepTaken, table: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a step; `table` is the stage's entry of parameters.json.

    Of a loss that is no number no gradient is one either: that is said once.
    """
    yield check_first_loss(trial.loaded, trial.stage, step.loss)
    if math.isfinite(step.loss):
        computed = computing_format(trial.loaded, trial.stage.train)
        yield check_gradients(trial.stage, step, trial.adapters, table, computed)


def check_first_loss(loaded: Loaded, stage: Stage, loss: float) -> Check:
    """Compare the first loss with the logarithm of the vocabulary: what guessing among all tokens costs."""
    name = f"first loss of {stage.name}"
    vocabulary = int(loaded.model.get_output_embeddings().weight.shape[0])
    guessing = math.log(vocabulary)
    beside = f"{loss:.3f} nats a learned token, where guessing among {vocabulary:,} tokens costs {guessing:.3f}"
    if not math.isfinite(loss) or loss == 0.0:
        return Check(
            name,
            "failure",
            f"the loss of the first rows is {loss}",
            hint=remedy_for_no_number(computing_format(loaded, stage.train))
            if loss
            else "look at the rows with `finesight look`: what is learned must not stand in the question",
        )
    if "language" in loaded.random_parts:
        near = abs(loss - guessing) <= _RANDOM_IS_OFF * guessing
        told = "as a model of random numbers should" if near else "a model of random numbers should be nearer to that"
        remedy = "" if near else "a configuration with tie_word_embeddings or another initializer_range may explain it"
        return Check(name, "pass" if near else "warning", f"{beside}: {told}", hint=remedy)
    if loss > guessing and vocabulary < SMALL_VOCABULARY:
        return Check(name, "pass", f"{beside}: more, as for words that a checkpoint has never learned")
    if loss > guessing:
        return Check(
            name,
            "warning",
            f"{beside}: the checkpoint does no better than that",
            hint="is it the checkpoint's own tokenizer and chat template? `finesight look` shows what is read",
        )
    return Check(name, "pass", beside)


def check_gradients(
    stage: Stage, step: StepTaken, adapters: set[str], table: Mapping[str, Any], computed: torch.dtype
) -> Check:
    """A gradient stands at every tensor that should learn, and at no other; `computed` is the format of products."""
    name = f"gradients of {stage.name}"
    if step.without:
        idle = [each for each in step.without if each in adapters]
        what = "adapters lie" if idle else "what should learn lies"
        return Check(
            name,
            "failure",
            f"{what} where no gradient arrives: {_named(idle or step.without)}",
            hint="name other layers in target_modules, or keep the part frozen",
        )
    if step.elsewhere:
        return Check(
            name,
            "failure",
            f"a gradient stands where nothing should learn: {_named(step.elsewhere)}",
            hint="this should not happen; please report it with `finesight env`",
        )
    if step.not_numbers:
        return Check(
            name,
            "failure",
            f"the loss is a number, and gradients are no numbers: {_named(step.not_numbers)}",
            hint=f"{WIDER}; a square root or a division at zero does this too"
            if computed == torch.float16
            else "a square root or a division at zero does this, and weights that are far too large",
        )
    unreachable = [tensor for part in table["parts"] for tensor in part["unreachable_tensors"]]
    left = f"; none can reach {_named(unreachable)}, left alone" if unreachable else ""
    return Check(name, "pass", f"one at each of the {step.reached} tensors that learn, and nowhere else{left}")


def check_frozen(stage: Stage, before: Mapping[str, int], after: Mapping[str, int], learning: set[str]) -> Check:
    """What is frozen is bit for bit what it was before the steps."""
    name = f"frozen weights of {stage.name}"
    frozen = [tensor for tensor in before if tensor not in learning]
    moved = [tensor for tensor in frozen if after[tensor] != before[tensor]]
    if moved:
        return Check(
            name,
            "failure",
            f"{plural(len(moved), 'tensor')} moved that should not learn: {_named(moved)}",
            hint="does the model change them as it computes, as a batch norm does? Tune that part in full",
        )
    return Check(name, "pass", f"all {len(frozen)} tensors that do not learn are bit for bit what they were")


def _is_sound(gradient: torch.Tensor) -> bool:
    return bool(gradient.isfinite().all())


def _size_of(trial: Trial) -> str:
    rows, tokens = trial.batch.layout.input_ids.shape
    return f"{rows} rows of {tokens} tokens"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
