"""How sure a score and a difference are, when questions about one image are not independent.

Answers come in groups (the questions about one image). A group's answers tend to be right or wrong together, so the
group, not the answer, is what is drawn: standard errors are clustered by group, and the bootstrap draws groups. All
of it works on statistics that add up (`Measured`), so it holds for any metric, corpus BLEU as well as a mean.
All intervals are 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, t

from finesight.evaluate.metrics.metric import RIGHT_OR_WRONG, Measured, Scale, Values, divide
from finesight.findings import ALPHA

DRAWS = 10_000
_DRAWS_AT_ONCE = 100
POWER = 0.8
"""How often a difference as large as the smallest detectable one is found."""


@dataclass(frozen=True)
class Estimate:
    """A score, and how sure it is."""

    score: float
    standard_error: float | None
    """Clustered by group; None for a single group, which says nothing about another."""
    naive_standard_error: float
    """As if all answers were independent."""
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary; a bound that there is not (infinity) is null."""
        return {name: value if value is None or np.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Difference:
    """How much the second score differs from the first on the same examples (second minus first)."""

    estimate: float
    low: float
    high: float
    standard_error: float | None
    """Of the difference, clustered by group; None for a single group."""
    smallest_detectable: float | None
    """What the difference would have to be for this test to find it four times out of five; "no difference found" says
    nothing of smaller ones."""
    p_bootstrap: float
    """Two-sided: how often the draws fall on the less likely side of zero, doubled."""
    p_mcnemar: float | None
    """Exact two-sided p of as many changes in one direction, were both directions equally likely. None where answers
    are not just right or wrong."""
    better: int
    worse: int
    unchanged: int
    draws: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return {name: value if value is None or np.isfinite(value) else None for name, value in asdict(self).items()}


def estimate(measured: Measured, groups: Sequence[Hashable], scale: Scale = RIGHT_OR_WRONG) -> Estimate:
    """Return the score of all records, its standard errors and its interval. Raises `ValueError` on no records.

    A mean's clustered error (Miller 2024, "Adding Error Bars to Evals", section on clustered questions; CR0 of Liang
    and Zeger 1986): with residuals r = value - mean, sqrt(sum over groups of (sum of r in the group)^2) / n. The naive
    one is sqrt(sum of r^2) / n, so the two are equal when every group has one answer. Of any other score they are the
    jackknife's (Efron and Stein 1981), which leaves out one group, or one record, at a time.
    A share's interval is Wilson's, that of any other score Student's t around it. Records without a score of their own
    are no part of the sample, nor are groups of such records alone.
    """
    (measured,), codes, group_count = _sample([measured], groups)
    score = measured.score
    naive = _standard_error(measured, measured.statistics)
    clustered = _standard_error(measured, _by_group(measured, codes, group_count)) if group_count > 1 else None
    if measured.combine is divide and (scale.low, scale.high) == (0.0, 1.0):
        # Answers in parts vary less than right or wrong ones of the same mean: one tells more than one yes or no.
        most = float(measured.statistics[:, 1].sum()) if scale.binary else np.inf
        low, high = _wilson(score, clustered, most, group_count)
    elif clustered is None:
        low, high = scale.low, scale.high
    else:
        half = float(t.ppf(1 - ALPHA / 2, group_count - 1)) * clustered
        low, high = max(scale.low, score - half), min(scale.high, score + half)
    return Estimate(score, clustered, naive, low, high)


def _standard_error(measured: Measured, clusters: Values) -> float:
    """Return the standard error of the score, where `clusters` are what is drawn: float[clusters, statistics]."""
    total = clusters.sum(axis=0)
    if measured.combine is divide:
        residuals = clusters[:, 0] - measured.score * clusters[:, 1]
        return float(np.sqrt(np.square(residuals).sum()) / total[1])
    left_out = measured.combine(total - clusters)
    count = len(clusters)
    return float(np.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum()))


def _wilson(mean: float, standard_error: float | None, most: float, groups: int) -> tuple[float, float]:
    """Return the Wilson interval of a share, for the number of independent yes-or-no answers that would be as sure.

    That number is mean (1 - mean) / standard_error^2 (Korn and Graubard 1998), and no more than `most`; the
    quantile is Student's t with groups - 1 degrees of freedom. Where the groups do not vary (at 0 or 100 %), they
    cannot tell how alike their answers are, and each counts as one. A single group says nothing of another: 0 to 1.
    """
    if standard_error is None:
        return 0.0, 1.0
    share_variance = mean * (1 - mean)
    informative = share_variance > 1e-12 and standard_error > 1e-12
    effective = min(most, share_variance / standard_error**2) if informative else float(groups)
    quantile = float(t.ppf(1 - ALPHA / 2, groups - 1))
    weight = quantile**2 / effective
    centre = (mean + weight / 2) / (1 + weight)
    half = np.sqrt(share_variance * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, min(mean, float(centre - half))), min(1.0, max(mean, float(centre + half)))


def paired_difference(
    first: Measured,
    second: Measured,
    groups: Sequence[Hashable],
    seed: int,
    *,
    scale: Scale = RIGHT_OR_WRONG,
    draws: int = DRAWS,
) -> Difference:
    """Return how `second` differs from `first` on the same examples. Raises `ValueError` on no examples.

    The interval is the percentile bootstrap over groups: `draws` times, as many groups as there are are drawn with
    replacement, and the two scores of what was drawn are taken (a large group weighs more, as in a mean). A single
    group says nothing about another: the whole scale. McNemar's test is exact and does not know of groups. Records
    without a score of their own in either are left out.
    """
    (first, second), codes, group_count = _sample([first, second], groups)
    changes = second.items - first.items
    gains = changes if scale.higher_is_better else -changes
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    width = scale.high - scale.low
    low, high, error, p = -width, width, None, 1.0
    if group_count > 1:
        drawn = _bootstrap(first, second, codes, group_count, seed, draws)
        low, high = (float(bound) for bound in np.percentile(drawn, [100 * ALPHA / 2, 100 * (1 - ALPHA / 2)]))
        error = float(drawn.std())
        p = min(1.0, 2 * max(1 / draws, min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))))
    return Difference(
        estimate=second.score - first.score,
        low=low,
        high=high,
        standard_error=error,
        smallest_detectable=None if error is None else float(norm.ppf(1 - ALPHA / 2) + norm.ppf(POWER)) * error,
        p_bootstrap=p,
        p_mcnemar=_mcnemar(better, worse) if scale.binary else None,
        better=better,
        worse=worse,
        unchanged=int((changes == 0).sum()),
        draws=draws,
        seed=seed,
    )


def _mcnemar(better: int, worse: int) -> float:
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values as they count when several differences are looked at together, in the order given.

    Holm 1979: the smallest is multiplied by their number, the next by one less, and so on, and none falls below an
    earlier one. At most one in twenty such families then has any false finding at 0.05.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _bootstrap(
    first: Measured, second: Measured, codes: NDArray[np.intp], groups: int, seed: int, draws: int
) -> Values:
    """Return the differences of what was drawn: float[draws]."""
    sums_first, sums_second = (_by_group(measured, codes, groups) for measured in (first, second))
    differences = np.concatenate([
        second.combine(times @ sums_second) - first.combine(times @ sums_first)
        for times in _draw(groups, seed, draws)
    ])  # fmt: skip
    return differences.round(12)  # so that a sum of rounded numbers that should be 0 is 0


def _draw(groups: int, seed: int, draws: int) -> Iterator[Values]:
    """Yield how often each group is drawn: float[some draws, groups]."""
    generator = np.random.default_rng(seed)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, draws - start)
        drawn = generator.integers(groups, size=(count, groups), dtype=np.int32)
        drawn += np.arange(count, dtype=np.int32)[:, None] * groups
        yield np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).astype(np.float64)


def _by_group(measured: Measured, codes: NDArray[np.intp], groups: int) -> Values:
    """Return the sums of statistics of each group: float[groups, statistics]."""
    return np.stack([np.bincount(codes, weights=column, minlength=groups) for column in measured.statistics.T], axis=1)


def _sample(
    measured: Sequence[Measured], groups: Sequence[Hashable]
) -> tuple[list[Measured], NDArray[np.intp], int]:  # fmt: skip
    """Return what is measured without the records that have no score in any, and the groups of the others.

    Groups are a number from 0 for each record, and how many there are. Raises `ValueError` where there is no record,
    and where not each has a group.
    """
    for each in measured:
        if len(each.items) != len(groups):
            raise ValueError(f"{len(each.items)} values and {len(groups)} groups: there must be equally many")
    places = np.flatnonzero(~np.all([np.isnan(each.items) for each in measured], axis=0)).tolist()
    if not places:
        raise ValueError(f"0 values of {len(groups)} have a score: there must be at least one")
    numbers: dict[Hashable, int] = {}
    codes = [numbers.setdefault(groups[place], len(numbers)) for place in places]
    return [each.where(places) for each in measured], np.asarray(codes, dtype=np.intp), len(numbers)
