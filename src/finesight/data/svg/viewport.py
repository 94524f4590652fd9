"""The windows through which drawings are seen: lengths in them, `viewBox` and `preserveAspectRatio`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from finesight.data.svg.affine import Affine, matrix
from finesight.data.svg.markup import Element
from finesight.data.svg.numerals import parse_length, parse_numbers

_SHARES = {"min": 0.0, "mid": 0.5, "max": 1.0}


@dataclass(frozen=True, slots=True)
class Viewport:
    """A window's size in the units of what is drawn in it, which percentages refer to."""

    width: float
    height: float
    font_size: float = 16.0

    def across(self, text: str | None) -> float | None:
        """Return a length along x, or None where it is none."""
        return parse_length(text, self.width, self.font_size)

    def down(self, text: str | None) -> float | None:
        """Return a length along y, or None where it is none."""
        return parse_length(text, self.height, self.font_size)

    def point(self, x: str | None, y: str | None) -> complex:
        """Return a point; a coordinate that is none is zero."""
        return complex(self.across(x) or 0.0, self.down(y) or 0.0)

    def along(self, text: str | None) -> float | None:
        """Return a length of no direction, as a radius; percentages are of the diagonal over the root of two."""
        return parse_length(text, math.hypot(self.width, self.height) / math.sqrt(2), self.font_size)


def open_root(root: Element, side: float) -> tuple[Affine, Viewport] | None:
    """Return the map of a drawing onto a square canvas, and its viewport; None where it shows nothing.

    A drawing that is not square keeps its proportions and lies in the middle. One without size or view box is taken
    to be as large as the canvas.
    """
    canvas, box = Viewport(side, side), view_box(root.attributes)
    width, height = (_size(root.attributes.get(name), side) for name in ("width", "height"))
    if box and (width is None or height is None):
        # As a picture alone: the size that is missing follows from the view box.
        ratio = box[2] / box[3] if box[2] > 0 and box[3] > 0 else 1.0
        width = width if width is not None else (height * ratio if height is not None else box[2])
        height = height if height is not None else width / ratio
    window = Viewport(canvas.width if width is None else width, canvas.height if height is None else height)
    if not (opened := open_window(root.attributes, window)):
        return None
    onto_canvas = _fit((0.0, 0.0, window.width, window.height), canvas, "xMidYMid")
    return onto_canvas.after(opened[0]), opened[1]


def open_window(attributes: Mapping[str, str], window: Viewport) -> tuple[Affine, Viewport] | None:
    """Return the map of a drawing into a window at the origin, and its viewport; None where it shows nothing."""
    if not (window.width > 0 and window.height > 0):
        return None
    box = view_box(attributes)
    if box is None:
        return Affine(), window
    if not (box[2] > 0 and box[3] > 0):
        return None
    align = attributes.get("preserveAspectRatio", "xMidYMid")
    return _fit(box, window, align), Viewport(box[2], box[3], window.font_size)


def view_box(attributes: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    """Return left, top, width and height, or None where none is given."""
    match parse_numbers(attributes.get("viewBox", "")):
        case [left, top, width, height]:
            return left, top, width, height
        case _:
            return None


def _size(text: str | None, side: float) -> float | None:
    """Return a root's width or height in pixels; None for a share of a page that is not there."""
    return None if text is None or text.strip().endswith("%") else parse_length(text, side)


def _fit(box: tuple[float, float, float, float], window: Viewport, align: str) -> Affine:
    left, top, width, height = box
    x, y = window.width / width, window.height / height
    position, _, rule = align.strip().partition(" ")
    if position != "none":
        x = y = max(x, y) if rule.strip() == "slice" else min(x, y)
    across = _SHARES.get(position[1:4].lower(), 0.5) * (window.width - width * x)
    down = _SHARES.get(position[5:8].lower(), 0.5) * (window.height - height * y)
    if position == "none":
        across = down = 0.0
    return matrix(x, 0, 0, y, across - left * x, down - top * y)
