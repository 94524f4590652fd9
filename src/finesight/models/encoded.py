"""What a model's family makes of examples: a context's tokens, and the branches behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finesight.schema import Example, ImageSource

UNLEARNED = -100
"""The label of a token that does not count in the loss, as everywhere in torch."""

Tokens = NDArray[np.int32]


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

    @property
    def tokens(self) -> int:
        """Return the length of its row."""
        return len(self.prefix_ids) + sum(len(branch.ids) for branch in self.branches)

    @property
    def learned_tokens(self) -> int:
        """Return how many tokens of its row count in the loss."""
        return sum(branch.learned_tokens for branch in self.branches)

    def with_branches(self, branches: tuple[Branch, ...]) -> Encoded:
        """Return the same context before other branches."""
        return Encoded(self.prefix_ids, self.images, branches)
