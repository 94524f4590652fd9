"""One rule says when a difference counts as found."""

from __future__ import annotations

import pytest

from finesight.findings import find
from finesight.numerals import Figures


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "higher", "lower"),
    [
        (0.01, 0.2, None, "better", "worse"),
        (-0.2, -0.01, None, "worse", "better"),
        (0.0, 0.2, None, "no difference found", "no difference found"),
        (-0.1, 0.2, None, "no difference found", "no difference found"),
        (0.01, 0.2, 0.05, "better", "worse"),
        (0.01, 0.2, 0.051, "no difference found", "no difference found"),
        (-0.2, -0.01, 0.3, "no difference found", "no difference found"),
        (0.01, None, None, "better", "worse"),
        (None, 0.2, None, "no difference found", "no difference found"),
    ],
)
def test_a_difference_is_found(
    low: float | None, high: float | None, p_holm: float | None, higher: str, lower: str
) -> None:
    difference = {"low": low, "high": high} | ({} if p_holm is None else {"p_holm": p_holm})
    assert find(difference, Figures(higher_is_better=True)) == higher
    assert find(difference, Figures(higher_is_better=False)) == lower
