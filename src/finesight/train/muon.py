"""Muon for the matrices, AdamW for the rest, as the one optimizer that a trainer knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

Group = dict[str, Any]
"""A parameter group: `params`, `lr`, `weight_decay`, and what else its owner notes."""


class MuonWithAdamW(torch.optim.Optimizer):
    """Steps matrices by Muon (Jordan et al. 2024), everything else by AdamW, both torch's own.

    Muon's steps are scaled to the size of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"), so its
    learning rates are of the same kind. Either list of groups may be empty, not both.
    """

    def __init__(
        self, matrices: Sequence[Group], others: Sequence[Group], *, betas: tuple[float, float], eps: float
    ) -> None:
        self._steppers: list[torch.optim.Optimizer] = []
        if matrices:
            self._steppers.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw"))
        if others:
            self._steppers.append(torch.optim.AdamW(others, betas=betas, eps=eps))
        super().__init__(self._groups(), {})

    def _groups(self) -> list[Group]:
        # The very dictionaries of both: a schedule changes their rates in place.
        return [group for stepper in self._steppers for group in stepper.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step everything once."""
        loss = closure() if closure else None
        for stepper in self._steppers:
            stepper.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, in their order."""
        return {"steppers": [stepper.state_dict() for stepper in self._steppers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the states that `state_dict` returned."""
        for stepper, state in zip(self._steppers, state_dict["steppers"], strict=True):
            stepper.load_state_dict(state)
        self.param_groups = self._groups()


def is_muons(parameter: nn.Parameter, embeddings: set[int]) -> bool:
    """Return whether Muon steps a parameter: a matrix that maps features to features, not one that looks tokens up.

    `embeddings` are the ids of the parameters of embeddings and of the output head.
    """
    return parameter.ndim == 2 and id(parameter) not in embeddings


def embeddings_of(model: nn.Module) -> set[int]:
    """Return the ids of the parameters that look up or score tokens and positions."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    heads = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "lm_head"]
    return {id(parameter) for module in (*tables, *heads) for parameter in module.parameters()}
