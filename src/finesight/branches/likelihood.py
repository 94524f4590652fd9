"""How likely a model finds answers that are given: no token is chosen, and nothing is read out of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.branches.numbers import require_numbers
from finesight.models.encoded import Encoded
from finesight.models.pixels import Pixels


@dataclass(frozen=True)
class Likelihood:
    """How likely an answer is: of its tokens, the one that ends it included, behind the question."""

    log_likelihood: float
    """The sum over its tokens, in nats."""
    tokens: int

    @property
    def per_token(self) -> float:
        """The mean over its tokens, in nats."""
        return self.log_likelihood / self.tokens


@torch.inference_mode()
def find_likelihoods(
    model: nn.Module,
    rows: Sequence[Encoded],
    pixels: Pixels | None,
    *,
    padding_id: int,
    dtype: torch.dtype,
    device: torch.device,
) -> list[list[Likelihood]]:
    """Return how likely the learned tokens of every branch of every row are; each branch has at least one.

    The figures are those of training: what it would add up to a loss, at dropout 0. Raises `ModelError` where the model
    computes none.
    """
    layout = lay_out(rows, padding_id=padding_id).to(device)
    losses = learned_losses(model, layout, pixels, dtype).double().cpu()
    require_numbers(losses, "likelihoods")
    counts = [branch.learned_tokens for row in rows for branch in row.branches]
    pieces = iter(torch.split(losses, counts))
    return [[Likelihood(-float(next(pieces).sum()), branch.learned_tokens) for branch in row.branches] for row in rows]
