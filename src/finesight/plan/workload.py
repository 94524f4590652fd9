"""What a stage puts through the model: its largest batches, and how many there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch

from finesight.branches.layout import PREFIX
from finesight.models.encoded import UNLEARNED
from finesight.recipe.recipe import Stage
from finesight.train.batches import RowBatch


@dataclass(frozen=True)
class Largest:
    """The most that goes through the model at once."""

    training: tuple[RowBatch, ...]
    """Batches of which one holds the most; the first has the most tokens."""
    batches_a_step: int
    """The most batches that one optimizer step has on a device: from the second on, gradients are held beside it."""
    answering: RowBatch
    """Rows as long as they are when the last answer has been written."""
    questions: int
    """The most questions that a row of `answering` has."""


@dataclass(frozen=True)
class Workload:
    """What a stage puts through the model."""

    largest: Largest
    steps: int | None
    """Optimizer steps of the stage; None where only the data would tell."""
    tokens_a_step: float
    """Padded tokens that all devices compute for a step, on average."""
    rows_differ: bool
    """Whether some rows have an image and others none."""


class Rows(Protocol):
    """The rows of a recipe."""

    @property
    def longest(self) -> int:
        """The tokens of the longest example."""
        ...

    def workload(self, stage: Stage, *, max_tokens: int, gpus: int) -> Workload:
        """Return what `stage` puts through the model, with `max_tokens` in it at once."""
        ...

    def shorter(self, max_length: int) -> Rows | None:
        """Return the rows without what is longer; None where too little would be left."""
        ...

    def describe(self) -> dict[str, object]:
        """Return which rows these are, as the plan's JSON says it."""
        ...


def lengthened(batch: RowBatch, tokens: int) -> RowBatch:
    """Return a batch with more text behind its rows, up to `tokens` each, of which nothing is learned."""
    layout = batch.layout
    more = (0, tokens - layout.input_ids.shape[1])

    def pad(tensor: torch.Tensor, value: int = 0) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, more, value=value)

    longer = replace(
        layout.changed(pad),
        branch_numbers=pad(layout.branch_numbers, PREFIX),
        next_labels=pad(layout.next_labels, UNLEARNED),
    )
    return replace(batch, layout=longer)
