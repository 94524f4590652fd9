"""A recipe's optimizer over fake tensors: the states that it keeps, and what a step needs beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers import Adafactor

from finesight.plan.blueprint import Device
from finesight.recipe.train import Train
from finesight.train.muon import MuonWithAdamW, embeddings_of, is_muons

_BLOCK = 256
_SMALLEST_8_BIT = 4096


def planned_optimizer(model: nn.Module, train: Train, device: Device) -> torch.optim.Optimizer:
    """Return the optimizer of what learns. On a GPU torch steps all parameters together, on a CPU one after another."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    together = device == "cuda"
    match train.optim:
        case "adamw_torch":
            return torch.optim.AdamW(learning, foreach=together)
        case "adamw_torch_fused":
            return _FusedAdamW(learning)
        case "adamw_8bit" | "paged_adamw_8bit":
            return _EightBitAdamW(learning)
        case "adafactor":
            return Adafactor(learning, lr=1e-3, scale_parameter=False, relative_step=False)  # type: ignore[no-any-return]
        case "sgd":
            return torch.optim.SGD(learning, foreach=together)
        case "muon":
            return _muon(model, learning)


def _muon(model: nn.Module, learning: Sequence[nn.Parameter]) -> MuonWithAdamW:
    embeddings = embeddings_of(model)
    matrices = [parameter for parameter in learning if is_muons(parameter, embeddings)]
    others = [parameter for parameter in learning if not is_muons(parameter, embeddings)]
    return MuonWithAdamW(
        [{"params": matrices}] if matrices else [], [{"params": others}] if others else [], betas=(0.9, 0.999), eps=1e-8
    )


class _Stateful(torch.optim.Optimizer):
    """Holds what the real one would, from its first step on, and needs nothing beside it: it steps in place."""

    def __init__(self, learning: Sequence[nn.Parameter]) -> None:
        super().__init__(learning, {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make the states."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    self.state[parameter] = self._states_of(parameter)

    def _states_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        raise NotImplementedError


class _FusedAdamW(_Stateful):
    def _states_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        return {name: torch.empty_like(parameter, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}


class _EightBitAdamW(_Stateful):
    """bitsandbytes': a byte for each state, a constant for 256 of them; small tensors keep float32."""

    def _states_of(self, parameter: nn.Parameter) -> dict[str, Any]:
        size = parameter.numel()
        if size < _SMALLEST_8_BIT:
            return {name: torch.empty(size) for name in ("state1", "state2")}
        states = {name: torch.empty(size, dtype=torch.uint8) for name in ("state1", "state2")}
        return states | {name: torch.empty(-(-size // _BLOCK)) for name in ("absmax1", "absmax2")}
