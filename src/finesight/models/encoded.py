"""What a model's family makes of examples: a context's tokens, and the branches behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finesight.schema import Example, ImageSource

UNLEARNED = -100
"""The label of a token that does not count in the loss, as everywhere in torch."""

Tokens = NDArray[np.int32]
Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Branch:
    """One question (and its answer) behind a context. It opens with a token that is not learned."""

    example: Example
    ids: Tokens
    """int[tokens]"""
    labels: Tokens
    """int[tokens]: the token itself where it is learned, else `UNLEARNED`."""

    @property
    def learned_tokens(self) -> int:
        """Return how many of its tokens count in the loss."""
        return int((self.labels != UNLEARNED).sum())


@dataclass(frozen=True, slots=True)
class Encoded:
    """A context and the branches behind it: what becomes one row."""

    prefix_ids: Tokens
    """int[tokens]: the template's opening, the image tokens (one for each image feature), and the context's text."""
    images: tuple[ImageSource, ...]
    branches: tuple[Branch, ...]
    two_way_tokens: int = 0
    """So many of the prefix, from the first, see each other, whichever comes first. Else a token sees what is before
    it."""
    prefix_positions: Positions | None = None
    """int[axes, tokens]: where the prefix stands, for families that do not count from 0 along one axis. Branches count
    on from behind the highest, on every axis alike."""
    row_inputs: Mapping[str, Tokens] | None = None
    """For families that share no contexts: what the forward pass takes beside the ids, by name, int[tokens] of the
    prefix and its one branch, as PaliGemma's `token_type_ids`. The family makes mask and positions by itself then."""

    @property
    def has_own_row(self) -> bool:
        """Return whether its one question is a row that is shared with no other."""
        return self.row_inputs is not None

    @property
    def tokens(self) -> int:
        """Return the length of its row."""
        return len(self.prefix_ids) + sum(len(branch.ids) for branch in self.branches)

    @property
    def learned_tokens(self) -> int:
        """Return how many tokens of its row count in the loss."""
        return sum(branch.learned_tokens for branch in self.branches)

    @property
    def branch_position(self) -> int:
        """Return where every branch begins to count its positions."""
        return len(self.prefix_ids) if self.prefix_positions is None else int(self.prefix_positions.max()) + 1

    def with_branches(self, branches: tuple[Branch, ...]) -> Encoded:
        """Return the same context before other branches."""
        return replace(self, branches=branches)

    def with_longer_prefix(self, tokens: Tokens) -> Encoded:
        """Return the same context with more text at its end; the branches are what they were."""
        positions = self.prefix_positions
        if positions is not None:
            more = np.broadcast_to(self.branch_position + np.arange(len(tokens)), (len(positions), len(tokens)))
            positions = np.concatenate([positions, more], axis=1)
        return replace(self, prefix_ids=np.concatenate([self.prefix_ids, tokens]), prefix_positions=positions)
