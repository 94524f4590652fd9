"""The even-odd rule, for text that cannot name it: lines turned so that the non-zero rule fills the same."""

from __future__ import annotations

from finesight.data.svg.ellipse import place
from finesight.data.svg.path import Arc, Close, Curve, Line, Move, Path, Segment

_MAX_WORK = 2_000_000
_SHARES = (0.25, 0.5, 0.75, 1.0)


def without_even_odd(path: Path) -> Path | None:
    """Return a path that the non-zero rule fills as the even-odd rule fills this one.

    Lines inside of an odd number of others are turned against them. That is exact for lines that do not cross one
    another or themselves, as the holes of drawings do not. Returns None where there are too many lines to compare.
    """
    lines = _split(path)
    polygons = [_polygon(line) for line in lines]
    if len(lines) * sum(map(len, polygons)) > _MAX_WORK:
        return None
    turned: Path = []
    for line, polygon in zip(lines, polygons, strict=True):
        depth = sum(_holds(other, polygon[0]) for other in polygons if other is not polygon)
        clockwise = _area(polygon) > 0
        turned += line if clockwise == (depth % 2 == 0) else _turn(line)
    return turned


def _split(path: Path) -> list[Path]:
    lines: list[Path] = []
    for segment in path:
        if isinstance(segment, Move):
            lines.append([])
        lines[-1].append(segment)
    return [line for line in lines if len(line) > 1]


def _polygon(line: Path) -> list[complex]:
    points: list[complex] = []
    for segment in line:
        match segment:
            case Curve(first, second, end):
                pen = points[-1]
                points += [_on_curve(pen, first, second, end, share) for share in _SHARES]
            case Arc() if sector := place(points[-1], *segment):
                points += [sector.at(share) for share in _SHARES]
            case Close():
                pass
            case _:
                points.append(segment.end)
    return points


def _on_curve(begin: complex, first: complex, second: complex, end: complex, share: float) -> complex:
    rest = 1 - share
    return rest**3 * begin + 3 * rest**2 * share * first + 3 * rest * share**2 * second + share**3 * end


def _area(polygon: list[complex]) -> float:
    return sum((a.conjugate() * b).imag for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True)) / 2


def _holds(polygon: list[complex], point: complex) -> bool:
    inside = False
    for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (a.imag > point.imag) != (b.imag > point.imag):
            crossing = a.real + (point.imag - a.imag) / (b.imag - a.imag) * (b.real - a.real)
            inside ^= point.real < crossing
    return inside


def _turn(line: Path) -> Path:
    """Return a line walked the other way."""
    ends = [segment.end for segment in line]
    closed = isinstance(line[-1], Close)
    turned: Path = [Move(ends[-1])]
    for segment, begin in zip(reversed(line[1:]), reversed(ends[:-1]), strict=True):
        turned.append(_turn_segment(segment, begin))
    return [*turned, Close(ends[-1])] if closed else turned


def _turn_segment(segment: Segment, begin: complex) -> Segment:
    match segment:
        case Curve(first, second, _):
            return Curve(second, first, begin)
        case Arc(radius_x, radius_y, rotation, large, sweep, _):
            return Arc(radius_x, radius_y, rotation, large, not sweep, begin)
        case _:
            return Line(begin)
