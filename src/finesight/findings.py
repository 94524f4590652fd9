"""When a difference counts as found: one rule for the verdict, the comparison and every page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from finesight.numerals import Figures

ALPHA = 0.05
"""How often a difference may be found where there is none. Intervals are 95 % intervals."""

NOT_FOUND: Final = "no difference found"
Finding = Literal["better", "worse", "no difference found"]


def find(difference: Mapping[str, Any], figures: Figures) -> Finding:
    """Return which way a difference goes, where one is found.

    Its interval has to leave out zero. Where several were looked at together, it has to hold beside the others too:
    its `p_holm` is at most `ALPHA`.
    """
    low, high = figures.gain(difference)
    if difference.get("p_holm", 0.0) > ALPHA:
        return NOT_FOUND
    if low > 0:
        return "better"
    return "worse" if high < 0 else NOT_FOUND
