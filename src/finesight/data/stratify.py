"""Stratified dealing: every set gets its share of each kind, though only whole groups are dealt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy
from numpy.typing import NDArray


def deal_alike(groups: Mapping[str, Sequence[str]], sizes: Mapping[str, int]) -> dict[str, str]:
    """Return for each group the set that it goes to, so that all sets are made of the same kinds.

    `groups` gives the kinds of each group's members, `sizes` how many groups each set takes, all together all of
    them; both are followed in their order. The largest groups are dealt first, each to the set that it brings nearest
    to its share of the group's kinds: iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the
    stratification of multi-label data", 2011), with a group in place of an example, and its kinds weighed by how rare
    they are. Kinds too rare to have an example in every set count as one.
    """
    if not groups:
        return {}
    names = [name for name, size in sizes.items() if size]
    room = numpy.array([sizes[name] for name in names])
    shares = room / len(groups)
    counts = _count_kinds(groups, shares)
    totals = counts.sum(axis=0)
    aims = shares[:, None] * totals
    dealt = numpy.zeros_like(aims)
    set_of: dict[str, str] = {}
    listed = list(groups)
    for place in sorted(range(len(listed)), key=lambda place: -len(groups[listed[place]])):
        count = counts[place]
        # By how much the squared distance from the aims grows. Divided by the share, or the largest set, whose aims
        # are the farthest away, would be filled before the others got anything.
        cost = (count * (2 * (dealt - aims) + count) / totals**2).sum(axis=1) / shares
        cost[room == 0] = numpy.inf
        home = int(cost.argmin())
        dealt[home] += count
        room[home] -= 1
        set_of[listed[place]] = names[home]
    return set_of


def _count_kinds(groups: Mapping[str, Sequence[str]], shares: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Return how many members of each kind each group has: float64[groups, kinds]."""
    totals = Counter(kind for kinds in groups.values() for kind in kinds)
    common = sorted(kind for kind, total in totals.items() if total * shares.min() >= 1)
    column = {kind: place for place, kind in enumerate(common)}
    counts = numpy.zeros((len(groups), len(common) + 1))
    for row, kinds in enumerate(groups.values()):
        for kind in kinds:
            counts[row, column.get(kind, len(common))] += 1
    return counts[:, counts.any(axis=0)]
