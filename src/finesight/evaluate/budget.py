"""How much goes through the model at once: as much as fits, and half as much once memory has run out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from finesight.branches.contexts import batch_rows, divide_context, halve_batch, padded_tokens
from finesight.errors import UserError
from finesight.models.encoded import Encoded
from finesight.runtime import say

Result = TypeVar("Result")
Work = Callable[[Sequence[Encoded]], Result]
"""What is done with the rows of a batch."""

DEFAULT_TOKENS = 8192
"""Where nothing is measured, as on a CPU: a larger batch is no faster there."""
MOST_TOKENS = 16 * DEFAULT_TOKENS
"""However much is free: a larger batch is no faster, and an evaluation that is stopped loses the one it was at."""
SHARE_OF_FREE = 0.7
"""What is planned with; the rest is for answers longer than those measured, and for memory that is free in pieces."""


class TokenBudget:
    """Works through contexts in batches within a number of tokens."""

    def __init__(self, tokens: int | None, device: torch.device) -> None:
        """`tokens` counts padding and answers too; None stands for what fits into the free memory of `device`."""
        self._tokens = tokens
        self._device = device

    def work_through(self, contexts: Sequence[Encoded], work: Work[Result], *, reserve: int = 0) -> Iterator[Result]:
        """Yield what `work` makes of each batch, until all branches of all contexts have been in one.

        Rows of like length are together, the longest first; a context with many branches may be several rows.
        `reserve` tokens are kept free for each branch's answer. When memory runs out, the batch is halved (its rows,
        or of a single row the branches) and done again, and from then on no batch is larger than that half. Raises
        `UserError` when a row with a single branch does not fit.
        """
        if not contexts:
            return
        tokens = self._tokens or tokens_that_fit(contexts, work, reserve=reserve, device=self._device)
        batches = _plan(contexts, tokens, reserve)
        while batches:
            batch = batches.popleft()
            try:
                done = work(batch)
            except torch.OutOfMemoryError:
                pass  # Not dealt with here: the error holds on to the tensors for which there is no room.
            else:
                yield done
                continue
            torch.cuda.empty_cache()
            halves = _halve(batch, reserve)
            tokens = self._tokens = max(padded_tokens(half, reserve=reserve) for half in halves)
            say(
                f"memory ran out with {padded_tokens(batch, reserve=reserve):,} tokens in the model at once; "
                f"going on with at most {tokens:,}"
            )
            batches = _plan((row for rows in (*halves, *batches) for row in rows), tokens, reserve)


def tokens_that_fit(contexts: Sequence[Encoded], work: Work[object], *, reserve: int, device: torch.device) -> int:
    """Return how many tokens may be in the model at once: on a CUDA device as many as fit, else `DEFAULT_TOKENS`.

    The shortest row and the longest are worked through by themselves, and the dearer tokens of the two count: in the
    short one its image weighs most, in the long one its attention mask. Free is what the driver says, and what torch
    holds without a use for it. (So far this was tried with a stand-in for the device, not on one.)
    """
    if device.type != "cuda":
        return DEFAULT_TOKENS
    rows = sorted(
        (row for batch in _plan(contexts, DEFAULT_TOKENS, reserve) for row in batch), key=lambda row: row.tokens
    )
    try:
        work([rows[0]])  # What is set up at the first use of a device would be taken for the price of tokens.
        dearest = max(_bytes_a_token(row, work, reserve, device) for row in (rows[0], rows[-1]))
    except torch.OutOfMemoryError:
        return DEFAULT_TOKENS  # and halved from there on
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(MOST_TOKENS, int(SHARE_OF_FREE * (free + held) / dearest)))


def _bytes_a_token(row: Encoded, work: Work[object], reserve: int, device: torch.device) -> float:
    """Return what a token of the row costs at the worst moment, above what the device held before."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work([row])
    return (torch.cuda.max_memory_allocated(device) - before) / padded_tokens([row], reserve=reserve)


def _plan(contexts: Iterable[Encoded], tokens: int, reserve: int) -> deque[list[Encoded]]:
    rows = [row for context in contexts for row in divide_context(context, max_tokens=tokens, reserve=reserve)]
    return deque(batch_rows(rows, max_tokens=tokens, reserve=reserve))


def _halve(batch: Sequence[Encoded], reserve: int) -> tuple[list[Encoded], list[Encoded]]:
    halves = halve_batch(batch)
    if halves is None:
        (row,) = batch
        answer = f" and room for an answer of {reserve:,}" if reserve else ""
        raise UserError(
            f"memory ran out with a single question, {row.branches[0].example.id}: {row.tokens:,} tokens{answer}",
            hint="close what else uses the device's memory, or take a smaller model, a quantized one, smaller images, "
            "or a smaller max_new_tokens",
        )
    return halves
