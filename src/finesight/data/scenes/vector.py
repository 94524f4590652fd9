"""Scenes as vectors: their SVG source, and the path-a-line text that language models read."""

from __future__ import annotations

from collections.abc import Iterable

from finesight.data.scenes import outline
from finesight.data.scenes.outline import Point
from finesight.data.scenes.world import RGB, Scene, Thing

CANVAS = 512
"""Side of the canvas in units; all coordinates are whole numbers on it."""


def scene_svg(scene: Scene) -> str:
    """Return a scene as an SVG file."""
    size = f'width="{CANVAS}" height="{CANVAS}" viewBox="0 0 {CANVAS} {CANVAS}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    lines.append(f'<rect width="{CANVAS}" height="{CANVAS}" fill="{_hexadecimal(scene.paper)}"/>')
    lines += [
        f'<path d="{_line(begin, end)}" stroke="{_hexadecimal(outline.print_colour(scene))}" '
        f'stroke-width="{_units(outline.PRINT_WIDTH)}"/>'
        for begin, end in outline.printed_lines(scene)
    ]
    lines += [
        f'<circle cx="{_units(x)}" cy="{_units(y)}" r="{_units(outline.DOT_RADIUS)}" '
        f'fill="{_hexadecimal(outline.print_colour(scene))}"/>'
        for x, y in outline.printed_dots(scene)
    ]
    lines += [f'<path d="{_edge(thing)}" fill="{_hexadecimal(thing.paint)}"{_rim(thing)}/>' for thing in scene.things]
    return "\n".join([*lines, "</svg>"])


def scene_paths(scene: Scene) -> str:
    """Return a scene's objects as text, one path a line, from left to right: commands M L C A, whole numbers.

    The form of the SVG captioning report. It has no dashes, and what is printed on the sheet is left out.
    """
    lines = []
    for thing in scene.things:
        stroke, width = (
            ("None", 1) if thing.rim == "bare" else (_numbers(outline.rim_colour(thing)), _units(outline.RIM_WIDTH))
        )
        style = f"fill:{_numbers(thing.paint)};stroke:{stroke};stroke-width:{width};opacity:1"
        lines.append(f"style={style}\td={_edge(thing)}")
    return "\n".join(lines)


def _edge(thing: Thing) -> str:
    if points := outline.corners(thing):
        return f"{_path(points)} {_point('L', points[0])}"
    radius = _units(outline.circle_radius(thing))
    x, y = _units(thing.x), _units(thing.y)
    half = f"A{radius},{radius},0,1,0"
    return f"M{x - radius},{y} {half},{x + radius},{y} {half},{x - radius},{y}"


def _rim(thing: Thing) -> str:
    if thing.rim == "bare":
        return ""
    dashes = f' stroke-dasharray="{_units(outline.DASH)}"' if thing.rim == "dashed" else ""
    return f' stroke="{_hexadecimal(outline.rim_colour(thing))}" stroke-width="{_units(outline.RIM_WIDTH)}"{dashes}'


def _path(points: Iterable[Point]) -> str:
    first, *others = points
    return " ".join([_point("M", first), *(_point("L", other) for other in others)])


def _line(begin: Point, end: Point) -> str:
    return _path([begin, end])


def _point(command: str, point: Point) -> str:
    return f"{command}{_units(point[0])},{_units(point[1])}"


def _units(share: float) -> int:
    return round(share * CANVAS)


def _numbers(colour: RGB) -> str:
    return ",".join(map(str, colour))


def _hexadecimal(colour: RGB) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in colour)
