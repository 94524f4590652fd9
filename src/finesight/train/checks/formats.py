"""The check that numbers keep their format on the way through the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from finesight.models.parts import bare_name
from finesight.train.checks.check import Check
from finesight.train.checks.trial_step import Trial

WIDER = "set model.dtype: float32 or bfloat16 (train.bf16 instead of train.fp16)"
_REMEDY = "set model.dtype, so that all weights are loaded in one format"


@dataclass
class Formats:
    """Notes where a module computes in another number format than the model.

    What a module gives in another format counts once a module takes it: a table of angles is float32 on purpose, and
    no module's input.
    """

    weights: torch.dtype
    """What every module's own weights are."""
    expected: frozenset[torch.dtype]
    """What modules may give on."""
    strays: list[str] = field(default_factory=list)
    """The modules that do otherwise, in the order of the computation."""
    _givers: dict[torch.dtype, str] = field(default_factory=dict)
    """The first module that gave each other format."""

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Watch what the model's innermost modules compute with; adapters keep float32 on purpose."""
        handles = []
        for name, module in model.named_modules():
            if not any(module.children()) and ".lora_" not in name:
                look = partial(self._look_at_what_it_takes, name)
                handles.append(module.register_forward_pre_hook(look, with_kwargs=True))
                handles.append(module.register_forward_hook(partial(self._look_at_what_it_gives, name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _look_at_what_it_takes(self, name: str, module: nn.Module, inputs: Any, named: dict[str, Any]) -> None:
        for other in self._others((*inputs, *named.values())):
            giver = self._givers.get(other)
            self._note(f"{giver} gives {spoken(other)}" if giver else f"{bare_name(name)} is given {spoken(other)}")
        for weight in module.parameters(recurse=False):
            # Packed weights are bytes.
            if weight.is_floating_point() and weight.dtype != self.weights:
                self._note(f"{bare_name(name)} has weights in {spoken(weight.dtype)}")
                return

    def _look_at_what_it_gives(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        for other in self._others(output if isinstance(output, tuple) else (output,)):
            self._givers.setdefault(other, bare_name(name))

    def _others(self, values: Iterable[object]) -> Iterator[torch.dtype]:
        """Yield the number formats, other than the expected ones, of the tensors among `values`."""
        for value in values:
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype not in self.expected:
                yield value.dtype

    def _note(self, stray: str) -> None:
        if stray not in self.strays:
            self.strays.append(stray)


def check_formats(trial: Trial) -> Check:
    """Run the rows forward, and name the first module that changes the number format unasked.

    Under autocast, float32 is what it leaves alone, and asked for.
    """
    model, train = trial.loaded.model, trial.stage.train
    name = f"computing format of {trial.stage.name}"
    weights: torch.dtype = model.dtype
    asked = {torch.bfloat16} if train.bf16 else {torch.float16} if train.fp16 else set()
    formats = Formats(weights, frozenset({weights, *asked, *([torch.float32] if asked else [])}))
    try:
        with formats.watching(model):
            trial.settled_loss()
    except RuntimeError as error:
        # Two formats in one product end the pass; without a stray module it is another error, and not ours to explain.
        if not formats.strays or isinstance(error, torch.OutOfMemoryError):
            raise
        return Check(name, "failure", f"{formats.strays[0]}, and the step ends there: {error}", hint=_REMEDY)
    if formats.strays:
        first, *others = formats.strays
        more = f" (and {len(others)} more)" if others else ""
        return Check(name, "failure", f"{first}{more}, in a model of {spoken(weights)}", hint=_REMEDY)
    computed = f"{spoken(next(iter(asked)))} over {spoken(weights)}" if asked else spoken(weights)
    return Check(name, "pass", f"from the first module to the last: {computed}")


def remedy_for_no_number(computed: torch.dtype) -> str:
    """Return what helps where a loss is no number, of a model that computes in this format."""
    if computed == torch.float16:
        return f"{WIDER}: float16 ends at 65,504"
    return (
        f"the checkpoint's weights are damaged or far too large ({spoken(computed)} is wide enough); if not, look at "
        "the rows with `finesight look`"
    )


def spoken(dtype: torch.dtype) -> str:
    """Return a number format's name."""
    return str(dtype).removeprefix("torch.")
