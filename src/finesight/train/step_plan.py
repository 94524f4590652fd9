"""Which examples make which optimizer step, decided before the run.

Every step holds exactly `global_batch_size` examples and at most `max_branches_per_context` of one context, whatever
the machine: how a step is dealt into rows and onto ranks changes neither its loss nor its gradient.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence

from finesight.branches.contexts import batch_rows, divide_context
from finesight.errors import UserError
from finesight.models.encoded import Encoded
from finesight.recipe.train import Train

TRAINING_TOKENS = 8192
"""What is in the model at once while it learns, where nobody says otherwise."""

Step = tuple[Encoded, ...]
"""The contexts of one optimizer step, each with the branches that this step learns from."""


def plan_steps(contexts: Sequence[Encoded], train: Train, seed: int) -> list[Step]:
    """Return the steps of a whole run.

    Each epoch shuffles contexts and, within a context, questions; a step that an epoch cannot fill is filled from the
    next, so that each holds exactly `global_batch_size` examples, none of them twice. An example of weight 2 is seen
    twice an epoch, one of weight 0.5 every other epoch. Raises `UserError` when the contexts are too few.
    """
    at_once = sum(min(len(context.branches), train.max_branches_per_context) for context in contexts)
    if at_once < train.global_batch_size:
        raise UserError(
            f"a step of {train.global_batch_size} examples cannot be filled: {len(contexts)} contexts with at most "
            f"{train.max_branches_per_context} questions each give {at_once}",
            hint="lower train.global_batch_size, or raise train.max_branches_per_context",
        )
    in_epoch = examples_in_epoch(contexts)
    count = train.max_steps or math.ceil(in_epoch * train.num_train_epochs / train.global_batch_size)
    generator = random.Random(seed)
    most = train.max_branches_per_context
    questions = [
        _Questions(place, numbers, weight, most, generator)
        for place, context in enumerate(contexts)
        for weight, numbers in _by_weight(context).items()
    ]
    return [_take(contexts, step) for step in _deal(questions, count, train.global_batch_size, most)]


def examples_in_epoch(contexts: Sequence[Encoded]) -> float:
    """Return how many examples an epoch sees: each as often as its weight says."""
    return math.fsum(branch.example.weight for context in contexts for branch in context.branches)


def deal_rows(step: Step, *, max_tokens: int, ranks: int) -> list[list[list[Encoded]]]:
    """Return, for each rank, the batches of rows that it computes for a step: each within `max_tokens`, padded.

    Ranks get about equally many tokens; one may get none.
    """
    rows = [row for context in step for row in divide_context(context, max_tokens=max_tokens)]
    shares: list[list[Encoded]] = [[] for _ in range(ranks)]
    for row in sorted(rows, key=lambda row: row.tokens, reverse=True):
        min(shares, key=lambda share: sum(other.tokens for other in share)).append(row)
    return [batch_rows(share, max_tokens=max_tokens) for share in shares]


def _by_weight(context: Encoded) -> dict[float, list[int]]:
    """Return the numbers of a context's branches, those of equal weight together."""
    numbers: dict[float, list[int]] = {}
    for number, branch in enumerate(context.branches):
        numbers.setdefault(branch.example.weight, []).append(number)
    return numbers


class _Questions:
    """Questions of one context, epoch after epoch, each epoch in a new order and in chunks of at most `most`.

    All of them have one weight: their epoch is that part of the run's.
    """

    def __init__(
        self, context: int, numbers: Sequence[int], weight: float, most: int, generator: random.Random
    ) -> None:
        self.context = context
        self.count = len(numbers)
        self._numbers = numbers
        self._weight = weight
        self._most = most
        self._generator = generator
        self._epoch = -1
        self._waiting: list[int] = []
        self._open_chunk()

    def _open_chunk(self) -> None:
        if not self._waiting:
            self._epoch += 1
            self._waiting = self._generator.sample(self._numbers, self.count)
        self._left = min(self._most, len(self._waiting))
        asked = self.count - len(self._waiting)
        # At random within the chunk's own stretch of the epoch: so a context's chunks are spread over the whole of it.
        own_due = self._epoch + (asked + self._generator.random() * self._left) / self.count
        self.due = own_due / self._weight
        """When the chunk's turn comes, in epochs of the run."""

    def take(self, room: int, given: Sequence[int]) -> list[int]:
        """Return at most `room` questions of the chunk, none of those that the step was given before."""
        taken: list[int] = []
        skipped: list[int] = []
        while self._waiting and len(taken) < min(room, self._left):
            number = self._waiting.pop()
            (skipped if number in given else taken).append(number)
        self._waiting.extend(reversed(skipped))
        self._left -= len(taken)
        if not self._left:
            self._open_chunk()
        return taken


def _deal(questions: Sequence[_Questions], count: int, size: int, most: int) -> Iterator[dict[int, list[int]]]:
    """Yield `count` steps of exactly `size` questions, by context, at most `most` of each.

    The chunk that is due first goes first; a context that has given a step what it may waits for the next.
    """
    queue = [(own.due, place) for place, own in enumerate(questions)]
    heapq.heapify(queue)
    for _ in range(count):
        step: dict[int, list[int]] = {}
        done: list[int] = []
        room = size
        while room:
            _, place = heapq.heappop(queue)
            own = questions[place]
            given = step.setdefault(own.context, [])
            taken = own.take(min(room, most - len(given)), given)
            given += taken
            room -= len(taken)
            # Who has nothing more to give waits for the next step: the context is full, or all its questions are in.
            if taken and len(given) < most:
                heapq.heappush(queue, (own.due, place))
            else:
                done.append(place)
        for place in done:
            heapq.heappush(queue, (questions[place].due, place))
        yield step


def _take(contexts: Sequence[Encoded], step: dict[int, list[int]]) -> Step:
    return tuple(
        contexts[context].with_branches(tuple(contexts[context].branches[number] for number in numbers))
        for context, numbers in step.items()
    )
