"""Which examples make which optimizer step, decided before the run.

Every step holds exactly `global_batch_size` examples and at most `max_branches_per_context` of one context, whatever
the machine: how a step is dealt into rows and onto ranks changes neither its loss nor its gradient.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finesight.branches.contexts import batch_rows, divide_context
from finesight.errors import UserError
from finesight.models.encoded import Encoded
from finesight.recipe.train import Train

Step = tuple[Encoded, ...]
"""The contexts of one optimizer step, each with the branches that this step learns from."""


@dataclass(frozen=True)
class Chunk:
    """Some branches of one context, by their numbers."""

    context: int
    branches: tuple[int, ...]


def plan_steps(contexts: Sequence[Encoded], train: Train, seed: int) -> list[Step]:
    """Return the steps of a whole run.

    Each epoch shuffles contexts and, within a context, questions; a step that an epoch cannot fill is filled from the
    next, so that each holds exactly `global_batch_size` examples. Raises `UserError` when the contexts are too few.
    """
    examples = sum(len(context.branches) for context in contexts)
    at_once = sum(min(len(context.branches), train.max_branches_per_context) for context in contexts)
    if at_once < train.global_batch_size:
        raise UserError(
            f"a step of {train.global_batch_size} examples cannot be filled: {len(contexts)} contexts with at most "
            f"{train.max_branches_per_context} questions each give {at_once}",
            hint="lower train.global_batch_size, or raise train.max_branches_per_context",
        )
    count = train.max_steps or math.ceil(examples * train.num_train_epochs / train.global_batch_size)
    chunks = _endless_chunks(contexts, train.max_branches_per_context, random.Random(seed))
    dealt = _deal(chunks, count, train.global_batch_size, train.max_branches_per_context)
    return [tuple(_take(contexts, chunk) for chunk in step) for step in dealt]


def deal_rows(step: Step, *, max_tokens: int, ranks: int) -> list[list[list[Encoded]]]:
    """Return, for each rank, the batches of rows that it computes for a step: each within `max_tokens`, padded.

    Ranks get about equally many tokens; one may get none.
    """
    rows = [row for context in step for row in divide_context(context, max_tokens=max_tokens)]
    shares: list[list[Encoded]] = [[] for _ in range(ranks)]
    for row in sorted(rows, key=lambda row: row.tokens, reverse=True):
        min(shares, key=lambda share: sum(other.tokens for other in share)).append(row)
    return [batch_rows(share, max_tokens=max_tokens) for share in shares]


def _endless_chunks(contexts: Sequence[Encoded], most: int, generator: random.Random) -> Iterator[Chunk]:
    """Yield chunks of at most `most` branches of a context, epoch after epoch, each in a new order."""
    while True:
        epoch: list[Chunk] = []
        for index, context in enumerate(contexts):
            order = generator.sample(range(len(context.branches)), len(context.branches))
            epoch.extend(Chunk(index, tuple(order[start : start + most])) for start in range(0, len(order), most))
        generator.shuffle(epoch)
        yield from epoch


def _deal(chunks: Iterator[Chunk], count: int, size: int, most: int) -> Iterator[list[Chunk]]:
    """Yield `count` steps of exactly `size` branches, none with more than `most` of one context.

    What does not fit a step waits for the next, in order, so no example is passed over.
    """
    waiting: deque[Chunk] = deque()
    for _ in range(count):
        step: list[Chunk] = []
        used: dict[int, int] = {}
        room = size
        later: deque[Chunk] = deque()
        while room:
            chunk = waiting.popleft() if waiting else next(chunks)
            fits = min(room, most - used.get(chunk.context, 0), len(chunk.branches))
            if fits:
                step.append(Chunk(chunk.context, chunk.branches[:fits]))
                used[chunk.context] = used.get(chunk.context, 0) + fits
                room -= fits
            if fits < len(chunk.branches):
                later.append(Chunk(chunk.context, chunk.branches[fits:]))
        waiting.extendleft(reversed(later))
        yield _join(step)


def _join(step: Sequence[Chunk]) -> list[Chunk]:
    """Return the step with the chunks of one context joined: they share a row."""
    joined: dict[int, tuple[int, ...]] = {}
    for chunk in step:
        joined[chunk.context] = joined.get(chunk.context, ()) + chunk.branches
    return [Chunk(context, branches) for context, branches in joined.items()]


def _take(contexts: Sequence[Encoded], chunk: Chunk) -> Encoded:
    context = contexts[chunk.context]
    return context.with_branches(tuple(context.branches[number] for number in chunk.branches))
