"""The metrics by name. A metric is two functions and a sentence; the tests hold each to a table of known cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from finesight.errors import UserError
from finesight.evaluate.metrics import exact_match
from finesight.schema import Record


@dataclass(frozen=True)
class Metric:
    """One way of scoring an answer."""

    name: str
    rule: str
    """How it decides, in words for a report."""
    score: Callable[[Record], float]
    """A record's score from 0 (wrong) to 1 (right)."""
    normalise: Callable[[str], str]
    """The form in which answers count as the same."""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (Metric("exact_match", exact_match.RULE, exact_match.score, exact_match.normalise),)
}


def metric_named(name: str) -> Metric:
    """Return the metric of that name. Raises `UserError` when there is none."""
    if name not in METRICS:
        raise UserError(f"there is no metric {name}", hint=f"the metrics are {', '.join(METRICS)}")
    return METRICS[name]
