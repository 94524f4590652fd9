"""Scenes as pictures, drawn when they are opened."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageDraw

from finesight.data.scenes import outline
from finesight.data.scenes.outline import Point
from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.world import Scene, Thing

_SUPERSAMPLING = 3


@dataclass(frozen=True, slots=True)
class SceneImage:
    """The picture of a scene, drawn when it is opened."""

    number: int
    size: int
    """Side in pixels."""

    @property
    def name(self) -> str:
        """Return which scene it is."""
        return f"scene {self.number}"

    def open(self) -> Image.Image:
        """Return the picture in RGB."""
        return draw_scene(plan_scene(self.number), self.size)

    def content_hash(self) -> str:
        """Return the SHA-256 of the scene's description and size."""
        return _hash(self.number, self.size)


@lru_cache(maxsize=262_144)
def _hash(number: int, size: int) -> str:
    return hashlib.sha256(f"{size} {plan_scene(number)}".encode()).hexdigest()


def draw_scene(scene: Scene, size: int) -> Image.Image:
    """Return the picture of a scene in RGB, `size` pixels wide and high."""
    large = size * _SUPERSAMPLING
    picture = Image.new("RGB", (large, large), scene.paper)
    pencil = ImageDraw.Draw(picture)
    _print_sheet(pencil, scene, large)
    for thing in scene.things:
        _draw_thing(pencil, thing, large)
    return picture.resize((size, size), Image.Resampling.BOX)


def _print_sheet(pencil: ImageDraw.ImageDraw, scene: Scene, large: int) -> None:
    colour = outline.print_colour(scene)
    for begin, end in outline.printed_lines(scene):
        pencil.line(
            [_scaled(begin, large), _scaled(end, large)], fill=colour, width=_pixels(outline.PRINT_WIDTH, large)
        )
    for dot in outline.printed_dots(scene):
        pencil.ellipse(_around(dot, outline.DOT_RADIUS, large), fill=colour)


def _draw_thing(pencil: ImageDraw.ImageDraw, thing: Thing, large: int) -> None:
    edge = [_scaled(corner, large) for corner in outline.corners(thing)]
    if edge:
        pencil.polygon(edge, fill=thing.paint)
    else:
        pencil.ellipse(_around((thing.x, thing.y), outline.circle_radius(thing), large), fill=thing.paint)
        edge = [_scaled(point, large) for point in _round_edge(thing)]
    if thing.rim == "bare":
        return
    width = _pixels(outline.RIM_WIDTH, large)
    closed = [*edge, edge[0]]
    for line in [closed] if thing.rim == "lined" else _dashes(closed, outline.DASH * large):
        pencil.line(line, fill=outline.rim_colour(thing), width=width, joint="curve")


def _round_edge(thing: Thing) -> list[Point]:
    """Return a circle's edge as many short lines."""
    radius, count = outline.circle_radius(thing), 48
    turns = (2 * math.pi * turn / count for turn in range(count))
    return [(thing.x + radius * math.cos(turn), thing.y + radius * math.sin(turn)) for turn in turns]


def _dashes(edge: Sequence[Point], length: float) -> Iterator[list[Point]]:
    """Yield every second stretch of an edge, each `length` pixels long, around its corners."""
    dash, left, drawn = [edge[0]], length, True
    for begin, end in itertools.pairwise(edge):
        side = math.dist(begin, end)
        walked = 0.0
        while side - walked > left:
            walked += left
            share = walked / side
            point = (begin[0] + share * (end[0] - begin[0]), begin[1] + share * (end[1] - begin[1]))
            if drawn:
                yield [*dash, point]
            dash, left, drawn = [point], length, not drawn
        left -= side - walked
        dash.append(end)
    if drawn:
        yield dash


def _scaled(point: Point, large: int) -> Point:
    return point[0] * large, point[1] * large


def _around(middle: Point, radius: float, large: int) -> tuple[float, float, float, float]:
    x, y, reach = middle[0] * large, middle[1] * large, radius * large
    return x - reach, y - reach, x + reach, y + reach


def _pixels(share: float, large: int) -> int:
    return max(1, round(share * large))
