"""What a metric is: from records to a score for each of them, and one for them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finesight.schema import Instrument, Record

Values = NDArray[np.float64]
Combine = Callable[[Values], Values]


@dataclass(frozen=True)
class Scale:
    """What a metric's numbers mean."""

    low: float = 0.0
    high: float = 1.0
    percent: bool = True
    """Whether it is a share, which people read as "46.3 %"; else a number of its own, as "0.628"."""
    higher_is_better: bool = True
    binary: bool = True
    """Whether an answer is right (1) or not (0), and nothing between."""

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary; a bound that there is not (infinity) is null."""
        return {name: None if value in (inf, -inf) else value for name, value in asdict(self).items()}


RIGHT_OR_WRONG = Scale()
GRADED = Scale(binary=False)
"""A share of the full marks that an answer may have in part."""
UNIT_SCORE = Scale(percent=False, binary=False)
OPEN_SCORE = Scale(high=inf, percent=False, binary=False)


@dataclass(frozen=True)
class Measured:
    """What a metric says of some records, in their order.

    A score of many records need not be the mean of theirs: BLEU adds up counts, perplexity weighs by tokens. So each
    record has statistics that add up, and the score of any set of records follows from their sums alone. That is all
    the bootstrap needs, for any metric.
    """

    items: Values
    """float[records]: each record's own score; not a number where it has none (a copy that is scored with another)."""
    statistics: Values
    """float[records, statistics]: what adds up over records."""
    combine: Combine
    """Sums of statistics, float[..., statistics], to scores, float[...]."""

    @property
    def score(self) -> float:
        """The score of all records together."""
        return float(self.combine(self.statistics.sum(axis=0)))

    def where(self, chosen: Sequence[int]) -> Measured:
        """Return what the metric says of the records at these places, as it was measured beside all others."""
        return replace(self, items=self.items[list(chosen)], statistics=self.statistics[list(chosen)])


def measure_mean(items: ArrayLike) -> Measured:
    """Return what a metric says whose score is the mean of its items; those that are not a number do not count."""
    scores = np.asarray(items, dtype=np.float64)
    counted = ~np.isnan(scores)
    return Measured(scores, np.stack([np.where(counted, scores, 0.0), counted], axis=1), divide)


def divide(sums: Values) -> Values:
    """Return the first sum over the second: a mean. Not a number where nothing was counted."""
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def mean_of(score: Callable[[Record], float]) -> Callable[[Sequence[Record]], Measured]:
    """Return the measure of a metric that scores each record by itself and takes the mean."""
    return lambda records: measure_mean([score(record) for record in records])


@dataclass(frozen=True)
class Metric:
    """One way of scoring answers."""

    name: str
    rule: str
    """How it decides, in words for a report."""
    source: str
    """Whose rule it is: the paper, or the official code, by its address; "finesight" for its own."""
    measure: Callable[[Sequence[Record]], Measured]
    normalise: Callable[[str], str]
    """The form in which two answers count as the same: what the majority baseline counts."""
    scale: Scale = RIGHT_OR_WRONG
    scores: Callable[[Record], bool] = lambda _: True
    """Whether a record holds what the metric needs: a guess, as the majority answer, has no likelihood."""
    can_read: Callable[[Record], bool] | None = None
    """Whether an answer can be made out at all, where answers are parsed, as letters of options are."""
    instrument: Callable[[Record], Instrument | None] = lambda _: None
    """The model that gave a record the values that the metric reads: those of two models are not compared."""
    warnings: Callable[[Sequence[Record]], list[str]] = lambda _: []
    """What a reader of the score must know of how the records were measured."""
