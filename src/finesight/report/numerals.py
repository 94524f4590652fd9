"""How figures are written, the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_MEASURED = "–"


def percent(share: float) -> str:
    """Return a share (0 to 1) as `41.0 %`."""
    return f"{_one_decimal(share)} %"


def interval(low: float, high: float) -> str:
    """Return the bounds of an interval of shares, in percent: `[36.2, 45.9]`."""
    return f"[{_one_decimal(low)}, {_one_decimal(high)}]"


def score(of: Mapping[str, Any]) -> str:
    """Return a score with its 95 % interval: `41.0 % [36.2, 45.9]`."""
    return f"{percent(of['score'])} {interval(of['low'], of['high'])}"


def signed_points(share: float) -> str:
    """Return a difference of shares as `+11.3 points`."""
    figure = _one_decimal(share)
    sign = "" if figure.startswith("−") or figure == "0.0" else "+"
    return f"{sign}{figure} points"


def difference(of: Mapping[str, Any]) -> str:
    """Return a difference with its 95 % interval: `+11.3 points [6.2, 16.1]`."""
    return f"{signed_points(of['estimate'])} {interval(of['low'], of['high'])}"


def probability(value: float) -> str:
    """Return a p-value: three decimals, or `< 0.001`."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(number: int) -> str:
    """Return a whole number with its thousands set apart: `1,234`."""
    return f"{number:,}"


def compact(number: int) -> str:
    """Return a count of parameters in the largest unit that fits: `303.5 M`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return str(number)


def plural(number: int, noun: str) -> str:
    """Return `1 image`, `63 images`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def loss(value: float) -> str:
    """Return a loss with three decimals."""
    return f"{value:.3f}"


def _one_decimal(share: float) -> str:
    figure = f"{100 * share:.1f}"
    return "0.0" if figure == "-0.0" else figure.replace("-", "−")
