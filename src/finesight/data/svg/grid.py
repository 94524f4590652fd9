"""Outlines on whole numbers, as text: commands M, L, C and A alone.

Rounding an arc's ends and radii one by one can move its middle by many units: a half circle of radius 14 over a chord
that became 27 bulges by four. So the radii are chosen together, by where the arc then runs; where no whole radii keep
it close, it is halved, and at last drawn as curves.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from finesight.data.svg.ellipse import Sector, place
from finesight.data.svg.path import Arc, Close, Curve, Line, Move, Path

_CLOSE_ENOUGH = 0.75
"""How far an arc may run from where it should, in units."""
_STRAIGHT = 0.25
"""How far what is bent may bulge and still be written as straight, in units."""
_SAMPLES = (0.25, 0.5, 0.75)
_HALVES = 2
_EQUAL = 1e-6
_ROUND_STEPS = ((1, 1), (0, 0), (-1, -1))
_STEPS = tuple(itertools.product((1, 0, -1), repeat=2))


def write_on_grid(path: Path, *, stroked: bool) -> str:
    """Return a path as text on whole numbers; an empty text where nothing of it is left.

    A closed line repeats its first point. What shrinks to a point is left out, unless it is a dot of a stroke.
    """
    writer = _Writer(stroked)
    for segment in path:
        writer.add(segment)
    return writer.finish()


class _Writer:
    def __init__(self, stroked: bool) -> None:
        self._stroked = stroked
        self._words: list[str] = []
        self._line: list[str] = []
        """Of the line that is being written, behind its first point."""
        self._begin = self._dot = self._pen = 0j
        self._drawn = False
        """Whether the path draws anything from the line's first point, however small."""

    def add(self, segment: Move | Line | Curve | Arc | Close) -> None:
        match segment:
            case Move(end):
                self._end_line()
                self._begin = self._dot = _rounded(end)
            case Line(end) | Close(end):
                self._line_to(_rounded(end))
            case Curve(first, second, end):
                self._curve_to(first, second, end)
            case Arc(end=end) if sector := place(self._pen, *segment):
                self._arc_to(sector, segment, end, _HALVES)
            case Arc(end=end):
                self._line_to(_rounded(end))
        self._drawn = not isinstance(segment, Move)
        self._pen = segment.end

    def finish(self) -> str:
        self._end_line()
        return " ".join(self._words)

    def _end_line(self) -> None:
        if self._drawn and not self._line and self._stroked:
            self._line.append(_word("L", self._begin))
        if self._line:
            self._words += [_word("M", self._begin), *self._line]
        self._line = []
        self._drawn = False

    def _line_to(self, end: complex) -> None:
        if end != self._dot:
            self._line.append(_word("L", end))
            self._dot = end

    def _curve_to(self, first: complex, second: complex, end: complex) -> None:
        points = [_rounded(point) for point in (first, second, end)]
        if all(_along(self._dot, points[-1], point) for point in points[:2]):
            self._line_to(points[-1])
        else:
            self._line.append(_word("C", *points))
            self._dot = points[-1]

    def _arc_to(self, sector: Sector, told: Arc | None, end: complex, halves: int) -> None:
        target = _rounded(end)
        arc, error = _fit(sector, told, self._dot, target)
        if arc is not None and error <= _CLOSE_ENOUGH:
            placed = place(self._dot, *arc)
            if placed is None or all(_along(self._dot, target, placed.at(share)) for share in _SAMPLES):
                self._line_to(target)
                return
            numbers = (arc.radius_x, arc.radius_y, arc.rotation, arc.large, arc.sweep, target.real, target.imag)
            self._line.append("A" + ",".join(f"{number:.0f}" for number in numbers))
            self._dot = target
        elif halves:
            self._arc_to(sector.part(0, 0.5), None, sector.at(0.5), halves - 1)
            self._arc_to(sector.part(0.5, 1), None, end, halves - 1)
        else:
            for first, second, stop in sector.curves():
                self._curve_to(first, second, stop)


def _fit(sector: Sector, told: Arc | None, begin: complex, end: complex) -> tuple[Arc | None, float]:
    """Return the arc of whole numbers from `begin` to `end` that runs closest to a sector, and its farthest error.

    `told` is the arc that the sector was read from; of arcs that run alike, the one most like it is taken.
    """
    wanted = [sector.at(share) for share in _SAMPLES]
    large = abs(sector.angle) > math.pi if told is None else told.large
    best, least = None, math.inf
    for radius_x, radius_y in _whole_radii(sector, told):
        rotation = 0.0 if radius_x == radius_y else float(round(sector.rotation))
        for big in (large, not large):
            arc = Arc(radius_x, radius_y, rotation, big, sector.angle > 0, end)
            if placed := place(begin, *arc):
                error = max(abs(placed.at(share) - point) for share, point in zip(_SAMPLES, wanted, strict=True))
                if error < least - _EQUAL:
                    best, least = arc, error
    return best, least


def _whole_radii(sector: Sector, told: Arc | None) -> Iterator[tuple[float, float]]:
    """Yield whole radii to try: those told, if whole, then those near the sector's own, larger ones first.

    Radii too small to reach from end to end grow, so several may stand for the same ellipse.
    """
    if told and told.radius_x == round(told.radius_x) and told.radius_y == round(told.radius_y):
        yield told.radius_x, told.radius_y
    below_x, below_y = (math.floor(radius + _EQUAL) for radius in (sector.radius_x, sector.radius_y))
    is_round = abs(sector.radius_x - sector.radius_y) < _EQUAL
    for more_x, more_y in _ROUND_STEPS if is_round else _STEPS:
        if below_x + more_x > 0 and below_y + more_y > 0:
            yield float(below_x + more_x), float(below_y + more_y)


def _along(begin: complex, end: complex, point: complex) -> bool:
    """Return whether a point lies on the way from `begin` to `end`, or all but on it."""
    if begin == end:
        return abs(point - begin) <= _STRAIGHT
    position = (point - begin) / (end - begin)
    return abs(position.imag) * abs(end - begin) <= _STRAIGHT and -_EQUAL <= position.real <= 1 + _EQUAL


def _rounded(point: complex) -> complex:
    return complex(round(point.real), round(point.imag))


def _word(command: str, *points: complex) -> str:
    return command + ",".join(f"{point.real:.0f},{point.imag:.0f}" for point in points)
