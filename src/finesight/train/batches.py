"""Rows made ready for the model: tokens laid out, images decoded."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset
from transformers.trainer_utils import seed_worker

from finesight.branches.layout import Layout, lay_out
from finesight.errors import FinesightError, UserError
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.models.pixels import Pixels, move
from finesight.runtime import CLUSTER_SIGNALS
from finesight.schema import Example
from finesight.train.step_plan import Step, deal_rows


@dataclass(frozen=True)
class RowBatch:
    """Rows that go through the model together."""

    layout: Layout
    pixels: Pixels | None
    """The images, in the order of the rows."""
    learned: tuple[tuple[Example, int], ...]
    """How many learned tokens each example has, in the order of the rows and their branches."""

    def to(self, device: torch.device, dtype: torch.dtype) -> RowBatch:
        """Return the same batch on `device`, pixels in the model's number format."""
        return RowBatch(self.layout.to(device), move(self.pixels, device, dtype), self.learned)


@dataclass(frozen=True)
class StepBatches:
    """What one rank computes for one optimizer step."""

    batches: tuple[RowBatch, ...]
    idle: tuple[RowBatch, ...]
    """Computed like `batches`, and counted as nothing: without them the other ranks would wait forever."""
    learned_tokens: int
    """Learned tokens of the whole step, on all ranks: what the loss is divided by."""
    tokens: int
    """Tokens of the whole step, learned or not, a shared context once."""
    examples: int
    """Examples of the whole step."""


def make_batch(rows: Sequence[Encoded], formatter: Formatter) -> RowBatch:
    """Return rows laid out, with their images decoded."""
    images = [image for row in rows for image in row.images]
    return RowBatch(
        layout=lay_out(rows, padding_id=formatter.tokenizer.pad_token_id),
        pixels=formatter.pixels(images),
        learned=tuple((branch.example, branch.learned_tokens) for row in rows for branch in row.branches),
    )


class PlannedSteps(Dataset[StepBatches]):
    """The planned steps as one rank sees them; an item is a whole optimizer step.

    With `in_step`, every rank has equally many batches, as an engine needs that spreads the model over ranks: each
    pass through it is all ranks' doing. Otherwise a rank has at least one.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        formatter: Formatter,
        *,
        max_tokens: int,
        rank: int,
        ranks: int,
        in_step: bool = False,
    ) -> None:
        self._steps = steps
        self._formatter = formatter
        self._max_tokens = max_tokens
        self._rank = rank
        self._ranks = ranks
        self._in_step = in_step

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> StepBatches:
        step = self._steps[index]
        dealt = deal_rows(step, max_tokens=self._max_tokens, ranks=self._ranks)
        mine = dealt[self._rank]
        passes = max(map(len, dealt)) if self._in_step else max(1, len(mine))
        return StepBatches(
            batches=tuple(make_batch(rows, self._formatter) for rows in mine),
            idle=tuple(make_batch([shortest_row(step)], self._formatter) for _ in range(passes - len(mine))),
            learned_tokens=sum(context.learned_tokens for context in step),
            tokens=sum(context.tokens for context in step),
            examples=sum(len(context.branches) for context in step),
        )


class ToldItems(Dataset[StepBatches | FinesightError]):
    """Items of `steps`, with what a person is meant to read of an error as the item itself.

    torch would turn an error of a process that reads ahead into a text with its traceback, and its hint would be lost.
    """

    def __init__(self, steps: Dataset[StepBatches]) -> None:
        self._steps = steps

    def __getitem__(self, index: int) -> StepBatches | FinesightError:
        try:
            return self._steps[index]
        except FinesightError as error:
            return error


def begin_reading_ahead(worker: int, *, num_workers: int, rank: int) -> None:
    """Seed a process that reads ahead, and leave all signals to the one that it reads for.

    Ctrl-C and a cluster's signals reach every process of a run; one of these that ended by them would take it down
    before it could save.
    """
    for number in (signal.SIGINT, *CLUSTER_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    seed_worker(worker, num_workers=num_workers, rank=rank)


@contextmanager
def deaths_told() -> Iterator[None]:
    """Raise `UserError` when a process that reads ahead has died.

    torch has but a RuntimeError for it, which it raises wherever this process is when the system says so.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise _died(str(error).splitlines()[0]) from error


@contextmanager
def lost_readers_told() -> Iterator[None]:
    """Raise `UserError` when a process that reads ahead dies while it hands over what it has read."""
    try:
        yield
    except (ConnectionError, EOFError) as error:
        raise _died("in the middle of a step") from error


def _died(how: str) -> UserError:
    # The system's own word of it may be on its way still: it would raise once more, and end what tidies up now.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return UserError(
        f"a process that reads images ahead has died ({how})",
        hint="most often memory ran out: lower train.dataloader_num_workers",
    )


def shortest_row(step: Step) -> Encoded:
    """Return the least that can be computed of a step: a single question."""
    context = min(step, key=lambda context: len(context.prefix_ids))
    return context.with_branches(context.branches[:1])
