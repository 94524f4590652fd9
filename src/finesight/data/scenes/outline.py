"""Where an object's edge runs, and what is printed on the sheet below it: the same for pictures and for SVG."""

from __future__ import annotations

import itertools
import math

from finesight.data.scenes.world import RGB, Scene, Shape, Thing

Point = tuple[float, float]
"""Across and down, as shares of the picture's side."""

RIM_WIDTH = 0.024
"""Of the line around an object."""
DASH = 0.05
"""Length of a dash, and of the gap behind it."""
PRINT_WIDTH = 0.012
"""Of the lines on a sheet."""
DOT_RADIUS = 0.014
_PITCH = 0.125
"""Between lines, or dots, on a sheet."""
_PLUS = 0.32
_STAR = 0.45

_CORNERS: dict[Shape, tuple[Point, ...]] = {
    "square": ((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)),
    "triangle": ((0.0, -0.98), (0.95, 0.76), (-0.95, 0.76)),
    "star": tuple(
        (length * math.sin(math.pi * turn / 5), -length * math.cos(math.pi * turn / 5))
        for turn, length in zip(range(10), itertools.cycle((1.0, _STAR)), strict=False)
    ),
    "cross": (
        *((-_PLUS, -0.95), (_PLUS, -0.95), (_PLUS, -_PLUS), (0.95, -_PLUS), (0.95, _PLUS), (_PLUS, _PLUS)),
        *((_PLUS, 0.95), (-_PLUS, 0.95), (-_PLUS, _PLUS), (-0.95, _PLUS), (-0.95, -_PLUS), (-_PLUS, -_PLUS)),
    ),
}
_ROUND = 0.95
"""A circle's radius, as a share of its object's: so that all shapes look alike in size."""


def circle_radius(thing: Thing) -> float:
    """Return the radius at which a circle is drawn."""
    return _ROUND * thing.radius


def corners(thing: Thing) -> list[Point]:
    """Return the corners of an object's edge, in order; a circle has none."""
    unit = _CORNERS.get(thing.shape, ())
    return [(thing.x + thing.radius * across, thing.y + thing.radius * down) for across, down in unit]


def rim_colour(thing: Thing) -> RGB:
    """Return the colour of the line around an object: dark, but around a black object light."""
    return (200, 200, 200) if thing.colour == "black" else (45, 45, 55)


def print_colour(scene: Scene) -> RGB:
    """Return the colour of what is printed on the sheet."""
    red, green, blue = scene.paper
    return red - 55, green - 55, blue - 45


def printed_lines(scene: Scene) -> list[tuple[Point, Point]]:
    """Return the lines on the sheet: across it where it is ruled, both ways where it is squared."""
    places = [_PITCH * (place + 0.5) for place in range(round(1 / _PITCH))]
    across = [((0.0, place), (1.0, place)) for place in places]
    down = [((place, 0.0), (place, 1.0)) for place in places]
    return {"ruled": across, "squared": across + down}.get(scene.sheet, [])


def printed_dots(scene: Scene) -> list[Point]:
    """Return the middles of the dots on the sheet."""
    if scene.sheet != "dotted":
        return []
    places = [_PITCH * (place + 0.5) for place in range(round(1 / _PITCH))]
    return list(itertools.product(places, places))
