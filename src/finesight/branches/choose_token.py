"""Which token comes next in each branch: the likeliest, or one drawn at random from the likely ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import torch

from finesight.branches.numbers import require_numbers
from finesight.models.encoded import Encoded
from finesight.schema import Sampling

ChooseTokens = Callable[[torch.Tensor, Sequence[Sequence[int]]], list[list[int]]]
"""From logits, float[rows, columns, vocabulary], and the branch that each column of a row belongs to, to a token for
each column. Columns beyond a row's branches are padding; what is chosen there does not count."""


def how_to_choose(contexts: Sequence[Encoded], sampling: Sampling | None) -> ChooseTokens:
    """Return how the tokens of these contexts' answers are chosen; without `sampling`, the likeliest.

    Every branch has a generator of its own, started from the seed and its example's id, and takes one number of it for
    each token. So what it draws depends on neither the batch nor the order, and an answer given again is the same.
    What is returned raises `ModelError` for logits that are not numbers.
    """
    if sampling is None:
        return _likeliest
    generators = [
        [Random(f"{sampling.seed} {branch.example.id}") for branch in context.branches] for context in contexts
    ]
    return partial(_drawn, sampling, generators)


def _likeliest(logits: torch.Tensor, open_branches: Sequence[Sequence[int]]) -> list[list[int]]:
    highest = logits.max(-1)
    require_numbers(highest.values, "answers")
    return [[int(token) for token in row] for row in highest.indices.tolist()]


def _drawn(
    sampling: Sampling,
    generators: Sequence[Sequence[Random]],
    logits: torch.Tensor,
    open_branches: Sequence[Sequence[int]],
) -> list[list[int]]:
    chosen = []
    # Row by row: probabilities of a whole batch, in double precision, would be the largest tensor of all.
    for row, branches in enumerate(open_branches):
        numbers = [generators[row][branch].random() for branch in branches]
        open_logits = logits[row, : len(branches)]
        require_numbers(open_logits, "answers")
        chosen.append(draw(nucleus(open_logits, sampling), numbers))
    return chosen


def nucleus(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return what tokens may be drawn with: float64[columns, vocabulary], 0 for those that may not.

    Of the probabilities at the temperature, the fewest and likeliest tokens are left whose probabilities add up to
    `top_p` or more (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751). They are not divided by their sum.
    """
    # The highest is 0, so that dividing by the smallest temperature gives no infinity but the one that stands for 0.
    below = logits.double() - logits.double().amax(-1, keepdim=True)
    probabilities = torch.softmax(below / sampling.temperature, dim=-1)
    if sampling.top_p == 1:
        return probabilities
    ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    likelier = ordered.cumsum(-1) - ordered
    return probabilities.scatter(-1, tokens, ordered.where(likelier < sampling.top_p, 0.0))


def draw(weights: torch.Tensor, numbers: Sequence[float]) -> list[int]:
    """Return the token that each number from 0 to 1 stands for, on a line on which tokens lie by their weights.

    They lie in the order of the vocabulary, not of their weights: two almost equal tokens that change places from one
    batch to the next would change what is drawn.
    """
    ends = weights.cumsum(-1)
    targets = torch.tensor(numbers, dtype=ends.dtype, device=ends.device)[:, None] * ends[:, -1:]
    # Rounding must not carry a target to the very end of the line, behind which there is no token.
    below = torch.minimum(targets, torch.nextafter(ends[:, -1:], torch.zeros_like(targets)))
    return [int(token) for token in torch.searchsorted(ends, below, right=True)[:, 0].tolist()]
