"""How figures are written, the same in the verdict, on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

NOT_MEASURED = "–"
_NO_WIDTH = 1e-9


@dataclass(frozen=True)
class Figures:
    """How the figures of one metric are written: a share in percent and its changes in points, or plain numbers."""

    percent: bool = True
    higher_is_better: bool = True

    def value(self, number: float | None) -> str:
        """Return a score: `41.0 %`, or `0.628`."""
        return f"{self.number(number)} %" if self.percent else self.number(number)

    def number(self, number: float | None) -> str:
        """Return a score without its unit: `41.0`, or `0.628`; a bound that there is not is `∞`."""
        if number is None:
            return "∞"
        figure = f"{100 * number:.1f}" if self.percent else f"{number:.3f}"
        return figure.lstrip("-") if float(figure) == 0 else figure.replace("-", "−")

    def interval(self, low: float | None, high: float | None) -> str:
        """Return the bounds of an interval: `[36.2, 45.9]`."""
        return f"[{'−' if low is None else ''}{self.number(low)}, {self.number(high)}]"

    def interval_of(self, score: Mapping[str, Any]) -> str:
        """Return the interval of a score: `[36.2, 45.9]`; a dash where its groups do not vary, and tell nothing."""
        return NOT_MEASURED if is_without_spread(score) else self.interval(score["low"], score["high"])

    def score(self, of: Mapping[str, Any]) -> str:
        """Return a score with its 95 % interval: `41.0 % [36.2, 45.9]`."""
        return f"{self.value(of['score'])} {self.interval_of(of)}"

    def signed(self, change: float) -> str:
        """Return a change with its sign and without its unit: `+11.3`; no sign where it rounds to zero."""
        figure = self.number(change)
        return figure if figure.startswith("−") or float(figure) == 0 else f"+{figure}"

    def change(self, change: float) -> str:
        """Return a change: `+11.3 points`, or `+0.113`."""
        return f"{self.signed(change)} points" if self.percent else self.signed(change)

    def size(self, change: float) -> str:
        """Return how large a change is, whichever way it goes: `11.3 points`, or `0.113`."""
        return f"{self.number(abs(change))} points" if self.percent else self.number(abs(change))

    def difference(self, of: Mapping[str, Any]) -> str:
        """Return a difference with its 95 % interval: `+11.3 points [6.2, 16.1]`."""
        return f"{self.change(of['estimate'])} {self.interval(of['low'], of['high'])}"

    def gain(self, of: Mapping[str, Any]) -> tuple[float, float]:
        """Return the bounds of a difference such that above zero is better, whichever way the metric goes."""
        low = -float("inf") if of["low"] is None else float(of["low"])
        high = float("inf") if of["high"] is None else float(of["high"])
        return (low, high) if self.higher_is_better else (-high, -low)


def is_without_spread(score: Mapping[str, Any]) -> bool:
    """Return whether a score has an interval of no width, which says that its groups score alike, and not how sure it
    is.
    """
    low, high = score["low"], score["high"]
    return low is not None and high is not None and high - low < _NO_WIDTH


def figures_of(task: Mapping[str, Any]) -> Figures:
    """Return how a task's figures are written; of one that says nothing of its scale, as shares."""
    scale = task.get("scale", {})
    return Figures(scale.get("percent", True), scale.get("higher_is_better", True))


def percent(share: float) -> str:
    """Return a share (0 to 1) as `41.0 %`."""
    return Figures().value(share)


def probability(value: float | None) -> str:
    """Return a p-value: three decimals, or `< 0.001`; a dash where there is none."""
    if value is None:
        return NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(number: int) -> str:
    """Return a whole number with its thousands set apart: `1,234`."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Return `1 image`, `63 images`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def number_or_range(numbers: Collection[int]) -> str:
    """Return `2` where all numbers are that, else `2 to 17`. There must be one at least."""
    least, most = min(numbers), max(numbers)
    return count(least) if least == most else f"{count(least)} to {count(most)}"


def loss(value: float) -> str:
    """Return a loss with three decimals."""
    return f"{value:.3f}"
