"""Rows made ready for the model: tokens laid out, images decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from finesight.branches.layout import Layout, lay_out
from finesight.models.encoded import Encoded
from finesight.models.formatter import Formatter
from finesight.models.pixels import Pixels, move
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
    weight: float
    """0 for a rank that has no row of this step: it computes one all the same, or the others would wait forever."""
    learned_tokens: int
    """Learned tokens of the whole step, on all ranks: what the loss is divided by."""
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
    """The planned steps as one rank sees them; an item is a whole optimizer step."""

    def __init__(self, steps: Sequence[Step], formatter: Formatter, *, max_tokens: int, rank: int, ranks: int) -> None:
        self._steps = steps
        self._formatter = formatter
        self._max_tokens = max_tokens
        self._rank = rank
        self._ranks = ranks

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> StepBatches:
        step = self._steps[index]
        mine = deal_rows(step, max_tokens=self._max_tokens, ranks=self._ranks)[self._rank]
        weight = 1.0 if mine else 0.0
        return StepBatches(
            batches=tuple(make_batch(rows, self._formatter) for rows in mine or [[step[0]]]),
            weight=weight,
            learned_tokens=sum(context.learned_tokens for context in step),
            examples=sum(len(context.branches) for context in step),
        )
