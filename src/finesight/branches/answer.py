"""Answering all branches of a context together: one pass over the row, then a token a branch at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import DynamicCache

from finesight.branches.choose_token import how_to_choose
from finesight.branches.images import image_arguments
from finesight.branches.layout import PADDING, lay_out
from finesight.branches.mask import Places, attention_mask
from finesight.models.encoded import Encoded
from finesight.models.pixels import Pixels
from finesight.schema import Sampling


@dataclass(frozen=True)
class Answer:
    """The tokens that a model answered with, without the end token, if it came to one."""

    ids: tuple[int, ...]
    ended: bool
    """False when it was cut at the token limit."""


def never_complete(ids: Sequence[int]) -> bool:
    """Return False: an answer ends at an end token or at its limit alone."""
    return False


@torch.inference_mode()
def answer_branches(
    model: nn.Module,
    contexts: Sequence[Encoded],
    pixels: Pixels | None,
    *,
    max_new_tokens: int,
    end_ids: frozenset[int],
    padding_id: int,
    placeholder_id: int | None,
    dtype: torch.dtype,
    device: torch.device,
    sampling: Sampling | None = None,
    is_complete: Callable[[Sequence[int]], bool] = never_complete,
) -> list[list[Answer]]:
    """Return the answer to every branch of every context, as `generate` would give it row by row.

    Without `sampling` it is the greedy one. An answer ends before an end token, behind the token with which
    `is_complete` is true of all its tokens, or after `max_new_tokens`. A placeholder is never chosen: it stands for
    image features that an answer does not have. Raises `ModelError` for a model that computes NaN.

    The prefix and all questions go through the model once. Each further step appends one token for every branch that
    is still open to the same row; the mask keeps the branches apart, so the context's keys and values are never
    copied.
    """
    layout = lay_out(contexts, padding_id=padding_id).to(device)
    open_branches = _OpenBranches(contexts, end_ids, max_new_tokens, is_complete)
    choose = how_to_choose(contexts, sampling)
    keys = Places.of(layout)
    cache = DynamicCache()
    last = _last_positions(layout.branch_numbers, open_branches.counts)
    outputs = model(
        input_ids=layout.input_ids,
        position_ids=layout.position_ids,
        attention_mask=attention_mask(model, keys, keys, dtype),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last,
        **image_arguments(model, pixels),
    )
    while open_branches.take(choose(_without(placeholder_id, outputs.logits), open_branches.columns)):
        input_ids, positions, numbers = (
            torch.tensor(column, device=device) for column in open_branches.next_columns(padding_id)
        )
        queries = Places(numbers, positions)
        keys = keys.followed_by(queries)
        outputs = model(
            input_ids=input_ids,
            position_ids=positions.expand(*layout.position_ids.shape[:-2], -1, -1),
            attention_mask=attention_mask(model, queries, keys, dtype),
            past_key_values=cache,
            use_cache=True,
        )
    return open_branches.answers()


def _without(placeholder_id: int | None, logits: torch.Tensor) -> torch.Tensor:
    """Return logits with which the placeholder is never chosen."""
    if placeholder_id is not None and placeholder_id < logits.shape[-1]:
        logits[..., placeholder_id] = torch.finfo(logits.dtype).min
    return logits


def _last_positions(branch_numbers: torch.Tensor, counts: Sequence[int]) -> torch.Tensor:
    """Return where each branch ends, rows padded with 0: int[rows, most branches]."""
    last = torch.zeros(len(counts), max(counts), dtype=torch.long, device=branch_numbers.device)
    for row, count in enumerate(counts):
        for number in range(1, count + 1):
            last[row, number - 1] = torch.nonzero(branch_numbers[row] == number)[-1, 0]
    return last


class _OpenBranches:
    """Which branches still answer, row by row."""

    def __init__(
        self,
        contexts: Sequence[Encoded],
        end_ids: frozenset[int],
        max_new_tokens: int,
        is_complete: Callable[[Sequence[int]], bool],
    ) -> None:
        self.counts = [len(context.branches) for context in contexts]
        self._positions = [
            [context.branch_position + len(branch.ids) for branch in context.branches] for context in contexts
        ]
        self._answers: list[list[list[int]]] = [[[] for _ in context.branches] for context in contexts]
        self._ended = [[False] * count for count in self.counts]
        self._open = [list(range(count)) for count in self.counts]
        self._end_ids = end_ids
        self._max_new_tokens = max_new_tokens
        self._is_complete = is_complete

    @property
    def columns(self) -> Sequence[Sequence[int]]:
        """The open branches of each row, in the order of the columns."""
        return self._open

    def take(self, chosen: list[list[int]]) -> bool:
        """Note the token chosen in each open branch, in the order of the columns; return whether any goes on."""
        for row, branches in enumerate(self._open):
            still_open = []
            for column, branch in enumerate(branches):
                token = chosen[row][column]
                if token in self._end_ids:
                    self._ended[row][branch] = True
                    continue
                answer = self._answers[row][branch]
                answer.append(token)
                self._ended[row][branch] = self._is_complete(answer)
                if not self._ended[row][branch] and len(answer) < self._max_new_tokens:
                    still_open.append(branch)
            self._open[row] = still_open
        return any(self._open)

    def next_columns(self, padding_id: int) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
        """Return ids, positions and branch numbers of the tokens just chosen: each int[rows, most open branches]."""
        width = max(len(branches) for branches in self._open)
        ids, positions, numbers = [], [], []
        for row, branches in enumerate(self._open):
            unused = width - len(branches)
            ids.append([self._answers[row][branch][-1] for branch in branches] + [padding_id] * unused)
            positions.append(
                [self._positions[row][branch] + len(self._answers[row][branch]) - 1 for branch in branches]
                + [0] * unused
            )
            numbers.append([branch + 1 for branch in branches] + [PADDING] * unused)
        return ids, positions, numbers

    def answers(self) -> list[list[Answer]]:
        """Return what was answered so far."""
        return [
            [Answer(tuple(ids), ended) for ids, ended in zip(row, ends, strict=True)]
            for row, ends in zip(self._answers, self._ended, strict=True)
        ]
