"""Which examples are looked at: the first, the longest, the shortest, and some drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from finesight.models.encoded import Encoded


def choose_examples(singles: Sequence[Encoded], most: int, generator: Random) -> list[tuple[list[str], Encoded]]:
    """Return at most `most` examples, each with all the reasons for which it was chosen, the plainest reason first."""
    if not singles:
        return []
    places = range(len(singles))
    # Of several that are equally long, the first.
    named = {
        "first": 0,
        "longest": max(places, key=lambda place: singles[place].tokens),
        "shortest": min(places, key=lambda place: singles[place].tokens),
    }
    reasons: dict[int, list[str]] = {}
    for reason, place in named.items():
        reasons.setdefault(place, []).append(reason)
    others = [place for place in places if place not in reasons]
    for place in generator.sample(others, min(len(others), max(0, most - len(reasons)))):
        reasons[place] = ["at random"]
    return [(why, singles[place]) for place, why in list(reasons.items())[:most]]
