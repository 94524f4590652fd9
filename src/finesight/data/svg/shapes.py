"""The outlines of SVG's shapes."""

from __future__ import annotations

from collections.abc import Mapping

from finesight.data.svg.numerals import parse_numbers
from finesight.data.svg.path import Arc, Close, Line, Move, Path
from finesight.data.svg.path_data import parse_path_data
from finesight.data.svg.viewport import Viewport

SHAPES = frozenset(("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"))


def outline(name: str, attributes: Mapping[str, str], viewport: Viewport) -> Path:
    """Return the outline of a shape in its own coordinates; an empty one for what draws nothing."""
    match name:
        case "path":
            return parse_path_data(attributes.get("d", ""))[0]
        case "rect":
            return _rectangle(attributes, viewport)
        case "circle":
            radius = viewport.along(attributes.get("r")) or 0.0
            return _ellipse(attributes, viewport, radius, radius)
        case "ellipse":
            across, down = viewport.across(attributes.get("rx")), viewport.down(attributes.get("ry"))
            return _ellipse(attributes, viewport, _first(across, down), _first(down, across))
        case "line":
            begin = viewport.point(attributes.get("x1"), attributes.get("y1"))
            return [Move(begin), Line(viewport.point(attributes.get("x2"), attributes.get("y2")))]
        case "polyline" | "polygon":
            return _corners(attributes.get("points", ""), closed=name == "polygon")
        case _:
            raise ValueError(f"{name} is no shape")


def _corners(text: str, *, closed: bool) -> Path:
    numbers = parse_numbers(text)
    points = [complex(x, y) for x, y in zip(numbers[::2], numbers[1::2], strict=False)]
    if not points:
        return []
    drawn: Path = [Move(points[0]), *map(Line, points[1:])]
    return [*drawn, Close(points[0])] if closed else drawn


def _ellipse(attributes: Mapping[str, str], viewport: Viewport, radius_x: float, radius_y: float) -> Path:
    if not (radius_x > 0 and radius_y > 0):
        return []
    centre = viewport.point(attributes.get("cx"), attributes.get("cy"))
    left, right = centre - radius_x, centre + radius_x
    halves = [Arc(radius_x, radius_y, 0.0, True, False, end) for end in (right, left)]
    return [Move(left), *halves, Close(left)]


def _rectangle(attributes: Mapping[str, str], viewport: Viewport) -> Path:
    corner = viewport.point(attributes.get("x"), attributes.get("y"))
    width, height = viewport.across(attributes.get("width")) or 0.0, viewport.down(attributes.get("height")) or 0.0
    if not (width > 0 and height > 0):
        return []
    across, down = viewport.across(attributes.get("rx")), viewport.down(attributes.get("ry"))
    radius_x = min(_first(across, down), width / 2)
    radius_y = min(_first(down, across), height / 2)
    if not (radius_x > 0 and radius_y > 0):
        others = (corner + width, corner + complex(width, height), corner + complex(0, height))
        return [Move(corner), *map(Line, others), Close(corner)]
    return _rounded(corner, complex(width, height), radius_x, radius_y)


def _rounded(corner: complex, size: complex, radius_x: float, radius_y: float) -> Path:
    """Return a rectangle with round corners, clockwise from the end of its upper left one."""
    right, bottom = corner + size.real, corner + size.imag * 1j
    far = corner + size
    begin = corner + radius_x
    sides = (
        (right - radius_x, right + radius_y * 1j),
        (far - radius_y * 1j, far - radius_x),
        (bottom + radius_x, bottom - radius_y * 1j),
        (corner + radius_y * 1j, begin),
    )
    drawn: Path = [Move(begin)]
    for side, around in sides:
        drawn += [Line(side), Arc(radius_x, radius_y, 0.0, False, True, around)]
    return [*drawn, Close(begin)]


def _first(radius: float | None, other: float | None) -> float:
    """Return a radius; where it is not given, or is negative, the other one."""
    given = [value for value in (radius, other) if value is not None and value >= 0]
    return given[0] if given else 0.0
