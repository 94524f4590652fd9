"""How a context and its branches lie in a row: the prefix, then one branch behind another.

Every branch counts its positions from the end of the prefix, and sees the prefix and itself but no other branch, so
each branch computes what it would compute in a row of its own. What branches share is computed once.
(Molmo's message trees, Deitke et al. 2024, lay out annotations of an image the same way.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from finesight.models.encoded import UNLEARNED, Encoded

PADDING = -1
"""The branch number of a token that is not there."""
PREFIX = 0
"""The branch number of the context; branches count from 1."""
TWO_WAY_PREFIX = -2
"""The branch number of those tokens of the context that see each other, whichever comes first."""


@dataclass(frozen=True)
class Layout:
    """Rows of equal length, padded on the right."""

    input_ids: torch.Tensor
    """int[rows, tokens]"""
    position_ids: torch.Tensor
    """int[rows, tokens], or int[axes, rows, tokens] for families whose positions have several axes"""
    branch_numbers: torch.Tensor
    """int[rows, tokens]: `PADDING`, `PREFIX`, `TWO_WAY_PREFIX`, or the number of the branch in its row."""
    next_labels: torch.Tensor
    """int[rows, tokens]: the label of the *next* token of the same branch; `UNLEARNED` where it does not count."""
    row_inputs: Mapping[str, torch.Tensor] | None = None
    """For rows of one question each that the family masks by itself: what else it takes, by name, int[rows, tokens]."""

    @property
    def learned(self) -> torch.Tensor:
        """Return the positions whose next token is learned, where alone logits are needed: bool[rows, tokens]."""
        return self.next_labels != UNLEARNED

    @property
    def tokens(self) -> int:
        """Return how many tokens the rows have, padding left out."""
        return int((self.branch_numbers != PADDING).sum())

    def to(self, device: torch.device) -> Layout:
        """Return the same layout on `device`."""
        return self.changed(lambda tensor: tensor.to(device))

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Layout:
        """Return the layout of what `change` makes of each tensor."""
        own = self.row_inputs
        return Layout(
            change(self.input_ids),
            change(self.position_ids),
            change(self.branch_numbers),
            change(self.next_labels),
            None if own is None else {name: change(tensor) for name, tensor in own.items()},
        )


def lay_out(rows: Sequence[Encoded], *, padding_id: int) -> Layout:
    """Return one row for each context, as long as the longest."""
    shape = (len(rows), max(row.tokens for row in rows))
    input_ids = np.full(shape, padding_id, dtype=np.int64)
    position_ids = np.zeros((_axes(rows), *shape), dtype=np.int64)
    branch_numbers = np.full(shape, PADDING, dtype=np.int64)
    next_labels = np.full(shape, UNLEARNED, dtype=np.int64)
    for index, row in enumerate(rows):
        end = len(row.prefix_ids)
        input_ids[index, :end] = row.prefix_ids
        position_ids[:, index, :end] = np.arange(end) if row.prefix_positions is None else row.prefix_positions
        branch_numbers[index, :end] = PREFIX
        branch_numbers[index, : row.two_way_tokens] = TWO_WAY_PREFIX
        for number, branch in enumerate(row.branches, start=1):
            # A learned first token would be predicted by the last token of the branch before it.
            assert branch.labels[0] == UNLEARNED, f"{branch.example.id}: a branch must open with an unlearned token"
            start, end = end, end + len(branch.ids)
            input_ids[index, start:end] = branch.ids
            position_ids[:, index, start:end] = row.branch_position + np.arange(len(branch.ids))
            branch_numbers[index, start:end] = number
            next_labels[index, start : end - 1] = branch.labels[1:]
    if len(position_ids) == 1:
        position_ids = position_ids[0]
    ids, positions, numbers, labels = map(torch.from_numpy, (input_ids, position_ids, branch_numbers, next_labels))
    return Layout(ids, positions, numbers, labels, _row_inputs(rows, shape))


def _row_inputs(rows: Sequence[Encoded], shape: tuple[int, int]) -> dict[str, torch.Tensor] | None:
    """Return what families take beside the ids that mask their rows by themselves, 0 in the padding; else None."""
    if rows[0].row_inputs is None:
        return None
    laid_out = {name: torch.zeros(shape, dtype=torch.long) for name in rows[0].row_inputs}
    for index, row in enumerate(rows):
        assert row.row_inputs is not None, "all rows of a batch are of one family"
        for name, values in row.row_inputs.items():
            laid_out[name][index, : len(values)] = torch.from_numpy(values)
    return laid_out


def _axes(rows: Sequence[Encoded]) -> int:
    """Return along how many axes positions are counted; a row without an image may have but one of its own."""
    return max(1 if row.prefix_positions is None else len(row.prefix_positions) for row in rows)
