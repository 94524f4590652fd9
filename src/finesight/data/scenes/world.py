"""What scenes are made of: shapes, colours, sizes, rims and sheets, in the spirit of CLEVR (Johnson et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["circle", "square", "triangle", "star", "cross"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "brown", "black"]
Size = Literal["small", "medium", "large"]
Rim = Literal["bare", "lined", "dashed"]
"""How an object's edge is drawn. The general world shows it and never names it."""
Sheet = Literal["blank", "ruled", "squared", "dotted"]
"""What the objects lie on. The general world shows it and never names it."""
Relation = Literal["left", "right", "above", "below"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SIZES: tuple[Size, ...] = get_args(Size)
RIMS: tuple[Rim, ...] = get_args(Rim)
SHEETS: tuple[Sheet, ...] = get_args(Sheet)
RELATIONS: tuple[Relation, ...] = get_args(Relation)

MOST_OBJECTS = 6

RGB = tuple[int, int, int]

PAINTS: dict[Colour, RGB] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (240, 215, 40),
    "green": (40, 160, 60),
    "blue": (40, 90, 215),
    "purple": (140, 60, 180),
    "brown": (120, 75, 40),
    "black": (25, 25, 25),
}

RADII: dict[Size, tuple[float, float]] = {"small": (0.075, 0.085), "medium": (0.115, 0.13), "large": (0.17, 0.19)}
"""Least and greatest radius of the circle around an object, as shares of the picture's side."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a scene. Lengths are shares of the picture's side."""

    shape: Shape
    colour: Colour
    size: Size
    rim: Rim
    x: float
    y: float
    radius: float
    """Of the circle around it."""
    paint: RGB
    """The colour as it is drawn: a little off its name's own."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Objects on a sheet. No two have both shape and colour in common, so these name an object."""

    number: int
    things: tuple[Thing, ...]
    """From left to right."""
    sheet: Sheet
    paper: RGB
    """The colour of the sheet."""


def relation_between(thing: Thing, other: Thing) -> Relation | None:
    """Return where `thing` lies as seen from `other`, or None where it lies too much askew to say."""
    across, down = thing.x - other.x, thing.y - other.y
    if max(abs(across), abs(down)) < 0.15:
        return None
    if abs(across) > 1.6 * abs(down):
        return "left" if across < 0 else "right"
    if abs(down) > 1.6 * abs(across):
        return "above" if down < 0 else "below"
    return None
