"""Sums of loss over learned tokens, kept apart by source and role."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch

from finesight.schema import Example


@dataclass
class LossSums:
    """Adds up losses of tokens; a loss is always a sum over tokens divided by their number."""

    sums: dict[tuple[str, str], float] = field(default_factory=dict)
    """By (source, role), in nats."""
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (source, role)."""

    def add(self, losses: torch.Tensor, learned: tuple[tuple[Example, int], ...]) -> None:
        """Add the losses of a batch: float[learned], with the examples that own them in order."""
        flat = losses.detach().double().cpu()
        pieces = torch.split(flat, [count for _, count in learned])
        for (example, count), piece in zip(learned, pieces, strict=True):
            key = (example.source, example.role)
            self.sums[key] = self.sums.get(key, 0.0) + float(piece.sum())
            self.tokens[key] += count

    def plus(self, other: LossSums) -> LossSums:
        """Return the sums of both."""
        keys = [*self.sums, *(key for key in other.sums if key not in self.sums)]
        sums = {key: self.sums.get(key, 0.0) + other.sums.get(key, 0.0) for key in keys}
        return LossSums(sums, self.tokens + other.tokens)

    def mean(self, *, role: str | None = None, source: str | None = None) -> float:
        """Return the loss per learned token, of one role or source where given; NaN where there was no token."""
        keys = [key for key in self.tokens if (source in (None, key[0])) and (role in (None, key[1]))]
        tokens = sum(self.tokens[key] for key in keys)
        return sum(self.sums[key] for key in keys) / tokens if tokens else float("nan")

    def describe(self) -> dict[str, Any]:
        """Return the fields of a line of metrics.jsonl."""
        return {
            "loss": self.mean(),
            "loss_by_source": {source: self.mean(source=source) for source in sorted({key[0] for key in self.tokens})},
            "loss_by_role": {role: self.mean(role=role) for role in sorted({key[1] for key in self.tokens})},
            "learned_tokens": sum(self.tokens.values()),
        }
