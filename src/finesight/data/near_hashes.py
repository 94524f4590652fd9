"""Hashes that differ in few bits, found without comparing every two of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy
from numpy.typing import NDArray

_BITS = 64
_COMPARED_AT_ONCE = 1_000_000

Hashes = NDArray[numpy.uint64]
Places = NDArray[numpy.int64]


def near_pairs(hashes: Hashes, most_distance: int) -> Iterator[tuple[int, int]]:
    """Yield the places of every two hashes that differ in at most `most_distance` bits, once, the lower place first.

    The 64 bits are cut into `most_distance` + 1 bands. Two hashes that differ in no more bits than that are equal in
    one band at least, so only those that share a band are compared (Manku, Jain and Das Sarma, "Detecting
    near-duplicates for web crawling", 2007). Pairs are not gathered: of drawn pictures there may be millions.
    """
    passed: list[numpy.uint64] = []
    ends = numpy.linspace(0, _BITS, most_distance + 2).astype(int)
    for low, high in itertools.pairwise(map(int, ends)):
        mask = numpy.uint64(((1 << (high - low)) - 1) << low)
        band = hashes & mask
        order = numpy.argsort(band, kind="stable")
        borders = numpy.flatnonzero(numpy.diff(band[order])) + 1
        for places in numpy.split(order, borders):
            yield from _near_within(hashes, places, most_distance, passed)
        passed.append(mask)


def _near_within(
    hashes: Hashes, places: Places, most_distance: int, passed: list[numpy.uint64]
) -> Iterator[tuple[int, int]]:
    """Yield the near pairs among `places`, but for those that were yielded with one of the bands `passed`."""
    here = hashes[places]
    rows = max(1, _COMPARED_AT_ONCE // max(1, len(places)))
    for start in range(0, len(places), rows):
        different = here[start : start + rows, None] ^ here
        ones, others = numpy.nonzero(numpy.bitwise_count(different) <= most_distance)
        is_first = numpy.all([different[ones, others] & mask != 0 for mask in passed], axis=0)
        # In a stable order the lower place comes first.
        chosen = is_first & (ones + start < others)
        yield from zip(places[ones[chosen] + start].tolist(), places[others[chosen]].tolist(), strict=True)
