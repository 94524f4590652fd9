"""Losses that are no numbers, on one of several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from finesight.train import trainer


@dataclass(frozen=True)
class Spoilt:
    """Spoils the losses of a step, counted from 1, on one process. A step must be one batch of rows there."""

    step: int
    rank: int

    def __call__(self, rank: int) -> None:
        if rank != self.rank:
            return
        real, steps = trainer.learned_losses, 0

        def spoilt(*given: Any) -> torch.Tensor:
            nonlocal steps
            steps += 1
            losses = real(*given)
            return losses * torch.nan if steps == self.step else losses

        trainer.learned_losses = spoilt
