"""How sure a score and a difference are, when questions about one image are not independent.

Answers come in groups (the questions about one image). A group's answers tend to be right or wrong together, so the
group, not the answer, is what is drawn: standard errors are clustered by group, and the bootstrap draws groups.
All scores lie between 0 and 1; all intervals are 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t

DRAWS = 10_000
_DRAWS_AT_ONCE = 100
_ALPHA = 0.05

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The mean of scores, and how sure it is."""

    score: float
    standard_error: float | None
    """Clustered by group; None for a single group, which says nothing about another."""
    naive_standard_error: float
    """As if all answers were independent."""
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences (second minus first), and how sure it is."""

    estimate: float
    low: float
    high: float
    p_mcnemar: float
    """Exact two-sided p of as many changes in one direction, were both directions equally likely."""
    better: int
    worse: int
    unchanged: int
    draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return asdict(self)


def estimate_mean(values: Sequence[float], groups: Sequence[Hashable]) -> Estimate:
    """Return the mean of `values`, its standard errors and its interval. Raises `ValueError` on no values.

    Clustered error (Miller 2024, "Adding Error Bars to Evals", section on clustered questions; CR0 of Liang and
    Zeger 1986 for a mean): with residuals r = value - mean, sqrt(sum over groups of (sum of r in the group)^2) / n.
    The naive one is sqrt(sum of r^2) / n, so the two are equal when every group has one answer.
    """
    scores = np.asarray(values, dtype=np.float64)
    codes, group_count = _codes(groups)
    _require_pairs(len(scores), len(codes))
    residuals = scores - scores.mean()
    naive = float(np.sqrt(np.square(residuals).sum())) / len(scores)
    by_group = np.bincount(codes, weights=residuals, minlength=group_count)
    clustered = float(np.sqrt(np.square(by_group).sum())) / len(scores) if group_count > 1 else None
    low, high = _wilson(float(scores.mean()), clustered, len(scores), group_count)
    return Estimate(float(scores.mean()), clustered, naive, low, high)


def _wilson(mean: float, standard_error: float | None, answers: int, groups: int) -> tuple[float, float]:
    """Return the Wilson interval of a share, for the number of independent answers that would be as sure.

    That number is mean (1 - mean) / standard_error^2 (Korn and Graubard 1998), at most the number of answers; the
    quantile is Student's t with groups - 1 degrees of freedom. Where the groups do not vary (at 0 or 100 %), they
    cannot tell how alike their answers are, and each counts as one. A single group says nothing of another: 0 to 1.
    """
    if standard_error is None:
        return 0.0, 1.0
    share_variance = mean * (1 - mean)
    informative = share_variance > 1e-12 and standard_error > 1e-12
    effective = min(float(answers), share_variance / standard_error**2) if informative else float(groups)
    quantile = float(t.ppf(1 - _ALPHA / 2, groups - 1))
    weight = quantile**2 / effective
    centre = (mean + weight / 2) / (1 + weight)
    half = np.sqrt(share_variance * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, min(mean, float(centre - half))), min(1.0, max(mean, float(centre + half)))


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[Hashable], seed: int, draws: int = DRAWS
) -> Difference:
    """Return how much higher `second` scores than `first` on the same examples. Raises `ValueError` on no examples.

    The interval is the percentile bootstrap over groups: `draws` times, as many groups as there are are drawn with
    replacement, and the mean difference of their answers is taken (a large group weighs more, as in the mean). A
    single group says nothing about another: -1 to 1. McNemar's test is exact and does not know of groups.
    """
    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    codes, group_count = _codes(groups)
    _require_pairs(len(differences), len(codes))
    low, high = _bootstrap(differences, codes, group_count, seed, draws) if group_count > 1 else (-1.0, 1.0)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    return Difference(
        estimate=float(differences.mean()),
        low=low,
        high=high,
        p_mcnemar=float(binomtest(better, better + worse).pvalue) if better + worse else 1.0,
        better=better,
        worse=worse,
        unchanged=len(differences) - better - worse,
        draws=draws,
        seed=seed,
    )


def _bootstrap(values: Values, codes: NDArray[np.intp], groups: int, seed: int, draws: int) -> tuple[float, float]:
    sums = np.bincount(codes, weights=values, minlength=groups)
    sizes = np.bincount(codes, minlength=groups)
    both = sums + 1j * sizes  # one look-up for the two numbers: half the time of two
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        drawn = both[generator.integers(groups, size=(count, groups), dtype=np.int32)].sum(axis=1)
        means[start : start + count] = drawn.real / drawn.imag
    low, high = np.percentile(means, [100 * _ALPHA / 2, 100 * (1 - _ALPHA / 2)])
    return round(float(low), 12), round(float(high), 12)  # so that a sum of rounded numbers that should be 0 is 0


def _codes(groups: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Return a number from 0 for each group, and how many groups there are."""
    numbers: dict[Hashable, int] = {}
    return np.asarray([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.intp), len(numbers)


def _require_pairs(values: int, groups: int) -> None:
    if values == 0 or values != groups:
        raise ValueError(f"{values} values and {groups} groups: there must be equally many, and at least one")
