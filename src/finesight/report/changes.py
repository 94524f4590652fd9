"""A paired difference in figures, as every table shows it."""

from __future__ import annotations

from dataclasses import dataclass

from finesight import numerals
from finesight.report.files import Content


@dataclass(frozen=True)
class Change:
    """A paired difference, each of its figures as text."""

    estimate: str
    interval: str
    p_holm: str
    p_mcnemar: str
    better: str
    worse: str
    unchanged: str


def write_change(difference: Content, figures: numerals.Figures) -> Change:
    """Return a difference of verdict.json, or of a comparison, as text; what it does not hold is a dash."""
    return Change(
        estimate=figures.change(difference["estimate"]),
        interval=figures.interval(difference["low"], difference["high"]),
        p_holm=numerals.probability(difference.get("p_holm")),
        p_mcnemar=numerals.probability(difference["p_mcnemar"]),
        better=numerals.count(difference["better"]),
        worse=numerals.count(difference["worse"]),
        unchanged=numerals.count(difference["unchanged"]),
    )
