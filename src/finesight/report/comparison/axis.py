"""The scale of a drawing: where it begins, where it ends, and how both are printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from finesight import numerals
from finesight.report.files import Content

_NOTHING = 1e-9
_ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`, in the metric's own numbers."""

    low: float
    high: float
    figures: numerals.Figures
    is_of_differences: bool = False

    def place(self, value: float | None) -> float:
        """Return where a value lies, from 0 at the beginning to 1 at the end; none, which is beyond all numbers, at 1.

        What lies beyond an end is drawn at it.
        """
        if value is None:
            return 1.0
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    @property
    def ends(self) -> tuple[str, str]:
        """What is printed at the beginning and at the end: `0 %` and `60 %`, or `−15` and `+15 points`."""
        factor, unit = (100, " %") if self.figures.percent else (1, "")
        low, high = (f"{factor * value:.4g}".replace("-", "−") for value in (self.low, self.high))
        if self.is_of_differences:
            return low, f"+{high}{' points' if self.figures.percent else ''}"
        return f"{low}{unit}", f"{high}{unit}"


def score_axis(of: Content, scores: Iterable[Content]) -> Axis:
    """Return the scale for the scores and intervals of a task or of a metric: from 0 to a round number above them.

    A bar has to begin at nothing, so that one twice as long means a score twice as high. Below 0 the scale goes where
    a score does, and then to a round number below all.
    """
    scores = list(scores)
    limit = of["scale"]["high"]
    top = max(_finite([score[bound] for score in scores for bound in ("score", "high")]), default=1.0)
    below = [score for score in scores if score["score"] is not None and score["score"] < 0]
    bottom = min(_finite([score[bound] for score in below for bound in ("score", "low")]), default=0.0)
    highest = 0.0 if bottom < 0 and top <= 0 else _round_up(top)
    lowest = -_round_up(-bottom) if bottom < 0 else 0.0
    return Axis(lowest, highest if limit is None else min(highest, limit), numerals.figures_of(of))


def difference_axis(of: Content, differences: Iterable[Content]) -> Axis:
    """Return the scale for differences and their intervals, with zero in its middle."""
    values = [change[bound] for change in differences for bound in ("low", "estimate", "high")]
    reach = _round_up(max(map(abs, _finite(values)), default=1.0))
    return Axis(-reach, reach, numerals.figures_of(of), is_of_differences=True)


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _round_up(value: float) -> float:
    """Return the next round number that is not less; of nothing, or what is printed as nothing, a small one."""
    if value < _NOTHING:
        return 0.1
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in _ROUND if step * power >= value * (1 - 1e-9)))
