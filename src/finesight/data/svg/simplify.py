"""From any SVG to the path-a-line text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from finesight.data.svg.colours import Colour
from finesight.data.svg.drawing import CANVAS, Shape, read_drawing
from finesight.data.svg.ellipse import place
from finesight.data.svg.grid import write_on_grid
from finesight.data.svg.path import Arc, Curve, Path
from finesight.data.svg.path_data import parse_path_data
from finesight.data.svg.path_lines import PathLine, write_path_lines
from finesight.data.svg.winding import without_even_odd


@dataclass(frozen=True, slots=True)
class Simplified:
    """A drawing as path-a-line text."""

    text: str
    """A path a line; equal for files that draw the same paths in the same order, so it tells doubles."""
    unsaid: Counter[str]
    """What the drawing holds that the text cannot say, with how often: "text", "dashes", "a clipping path", …"""


def simplify(svg: str, name: str = "SVG") -> Simplified:
    """Return a drawing as path-a-line text: commands M, L, C and A, whole numbers on a canvas of 512×512.

    What lies wholly outside the canvas or is too small to be seen is left out, so the text may be empty. A path whose
    fill and stroke are not equally opaque, or whose stroke lies under its fill, becomes two lines. `name` is what
    errors call the drawing. Raises `DataError` for what is no SVG, and for what is unsafe or too large to read.
    """
    drawing = read_drawing(svg, name)
    lines: list[PathLine] = []
    for shape in drawing.shapes:
        if shape.even_odd and shape.fill:
            turned = without_even_odd(shape.path)
            if turned is None:
                drawing.unsaid["the even-odd rule, for a path of very many lines"] += 1
            else:
                shape = replace(shape, path=turned)
        lines += _write_shape(shape)
    return Simplified(write_path_lines(lines), drawing.unsaid)


def _write_shape(shape: Shape) -> list[PathLine]:
    data = write_on_grid(shape.path, stroked=shape.stroke is not None)
    path, _ = parse_path_data(data)
    width = max(1, round(shape.stroke_width)) if shape.stroke else 1
    fill, stroke = shape.fill if _has_area(path) else None, shape.stroke
    if not (fill or stroke) or _is_outside(path, width / 2 if stroke else 0.0):
        return []
    parts = [(fill, stroke)]
    if fill and stroke and (fill.alpha < 1 or stroke.alpha < 1 or shape.stroke_first):
        parts = [(None, stroke), (fill, None)] if shape.stroke_first else [(fill, None), (None, stroke)]
    lines = [_write_line(shape.opacity, *part, width, data) for part in parts]
    return [line for line in lines if line.opacity > 0]


def _write_line(opacity: float, fill: Colour | None, stroke: Colour | None, width: int, data: str) -> PathLine:
    """Return the line of a path whose opacity is that of its shape times that of its colours."""
    alpha = min(colour.alpha for colour in (fill, stroke) if colour)
    rounded = round(opacity * alpha, 2)
    return PathLine(fill and fill[:3], stroke and stroke[:3], width if stroke else 1, rounded, data)


def _has_area(path: Path) -> bool:
    """Return whether there is anything to fill: not where all of a path lies on one line."""
    if any(isinstance(segment, Arc) for segment in path):
        return True
    points = _points_around(path)
    direction = max((point - points[0] for point in points), key=abs, default=0j).conjugate()
    return any((direction * (point - points[0])).imag != 0 for point in points)


def _is_outside(path: Path, edge: float) -> bool:
    """Return whether nothing of a path lies on the canvas, drawn with an edge of so many units around it."""
    points = _points_around(path)
    across, down = [point.real for point in points], [point.imag for point in points]
    return not path or any(min(side) - edge >= CANVAS or max(side) + edge <= 0 for side in (across, down))


def _points_around(path: Path) -> list[complex]:
    """Return points that a path lies between: its ends and handles."""
    points: list[complex] = []
    pen = 0j
    for segment in path:
        match segment:
            case Curve(first, second, _):
                points += (first, second)
            case Arc() if sector := place(pen, *segment):
                points += (point for curve in sector.curves() for point in curve)
        pen = segment.end
        points.append(pen)
    return points
