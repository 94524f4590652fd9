"""Outlines: what path data says, in absolute coordinates. Points are complex numbers: x + y·i, y downwards."""

from __future__ import annotations

from typing import NamedTuple

from finesight.data.svg.affine import Affine
from finesight.data.svg.ellipse import map_axes


class Move(NamedTuple):
    """A new line begins at `end`."""

    end: complex


class Line(NamedTuple):
    """A straight line to `end`."""

    end: complex


class Curve(NamedTuple):
    """A cubic Bézier curve to `end`."""

    first: complex
    second: complex
    end: complex


class Arc(NamedTuple):
    """A piece of an ellipse, to `end`: the longer way round if `large`, clockwise on the screen if `sweep`."""

    radius_x: float
    radius_y: float
    rotation: float
    """Of the ellipse's first axis, in degrees."""
    large: bool
    sweep: bool
    end: complex


class Close(NamedTuple):
    """Back to where the line began: `end`."""

    end: complex


Segment = Move | Line | Curve | Arc | Close
Path = list[Segment]


def map_path(path: Path, affine: Affine) -> Path:
    """Return the path under an affine map. It is exact: an ellipse's image is an ellipse."""
    return [_map_segment(segment, affine) for segment in path]


def _map_segment(segment: Segment, affine: Affine) -> Segment:
    match segment:
        case Curve(first, second, end):
            return Curve(affine(first), affine(second), affine(end))
        case Arc(radius_x, radius_y, rotation, large, sweep, end):
            axes = map_axes(radius_x, radius_y, rotation, affine)
            return Arc(*axes, large, sweep == (affine.determinant > 0), affine(end))
        case _:
            return type(segment)(affine(segment.end))


def write_segment(segment: Segment) -> str:
    """Return a segment as path data, in absolute coordinates of at most ten digits."""
    match segment:
        case Move(end):
            return _write("M", end.real, end.imag)
        case Line(end):
            return _write("L", end.real, end.imag)
        case Curve(first, second, end):
            return _write("C", first.real, first.imag, second.real, second.imag, end.real, end.imag)
        case Arc(radius_x, radius_y, rotation, large, sweep, end):
            return _write("A", radius_x, radius_y, rotation, large, sweep, end.real, end.imag)
        case Close():
            return "Z"


def _write(letter: str, *numbers: float) -> str:
    return letter + ",".join(f"{number:.10g}" for number in numbers)
