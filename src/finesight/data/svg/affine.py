"""Affine maps of the plane. Points are complex numbers, so a map is three of them: z becomes p·z + q·conj(z) + t."""

from __future__ import annotations

import cmath
import math
import re
from typing import NamedTuple

from finesight.data.svg.numerals import parse_numbers
from finesight.errors import DataError

_MAX_SCALE = 1e12
_FUNCTION = re.compile(r"[\s,]*([a-zA-Z]{1,9})\s*\(([^()]*)\)\s*")
_UNIT = re.compile(r"(?<=[0-9.])(?:deg|px)", re.IGNORECASE)


class Affine(NamedTuple):
    """A map of the plane onto itself that keeps straight lines straight."""

    turn: complex = 1 + 0j
    """p: turns and scales."""
    mirror: complex = 0j
    """q: turns and scales the mirrored plane; zero for a map that keeps shapes similar."""
    shift: complex = 0j

    def __call__(self, point: complex) -> complex:
        """Return where a point goes."""
        return self.turn * point + self.mirror * point.conjugate() + self.shift

    def after(self, first: Affine) -> Affine:
        """Return the map that applies `first`, then this one. Raises `DataError` when it scales beyond all reason."""
        turn = self.turn * first.turn + self.mirror * first.mirror.conjugate()
        mirror = self.turn * first.mirror + self.mirror * first.turn.conjugate()
        shift = self(first.shift)
        if not all(abs(part) <= _MAX_SCALE for z in (turn, mirror, shift) for part in (z.real, z.imag)):
            raise DataError("its transforms scale beyond all reason")
        return Affine(turn, mirror, shift)

    @property
    def determinant(self) -> float:
        """How many times larger areas become; negative for a map that mirrors."""
        return abs(self.turn) ** 2 - abs(self.mirror) ** 2

    @property
    def evenness(self) -> float:
        """How lengths grow in the direction where they grow least, of the one where they grow most: 1 if all alike."""
        turn, mirror = abs(self.turn), abs(self.mirror)
        return abs(turn - mirror) / (turn + mirror) if turn + mirror else 1.0

    @property
    def scale(self) -> float:
        """How many times longer lengths become, on average of all directions."""
        return math.sqrt(abs(self.determinant))


def matrix(a: float, b: float, c: float, d: float, e: float, f: float) -> Affine:
    """Return the map that SVG writes as `matrix(a b c d e f)`."""
    return Affine(complex(a + d, b - c) / 2, complex(a - d, b + c) / 2, complex(e, f))


def scaling(x: float, y: float) -> Affine:
    """Return the map that makes things `x` times as wide and `y` times as high."""
    return matrix(x, 0, 0, y, 0, 0)


def parse_transform(text: str) -> Affine:
    """Return the map of a `transform` attribute; one that is not well-formed changes nothing, as in browsers.

    Angles are in degrees. Raises `DataError` for numbers beyond all reason.
    """
    whole, position = Affine(), 0
    while position < len(text):
        found = _FUNCTION.match(text, position)
        step = _parse_function(found[1].lower(), parse_numbers(_UNIT.sub("", found[2]))) if found else None
        if found is None or step is None:
            return Affine() if text[position:].strip(" \t\r\n\f,") else whole
        whole, position = whole.after(step), found.end()
    return whole


def _parse_function(name: str, values: list[float]) -> Affine | None:
    match name, values:
        case "matrix", [a, b, c, d, e, f]:
            return matrix(a, b, c, d, e, f)
        case "translate", [x]:
            return Affine(shift=complex(x))
        case "translate", [x, y]:
            return Affine(shift=complex(x, y))
        case "scale", [both]:
            return scaling(both, both)
        case "scale", [x, y]:
            return scaling(x, y)
        case "rotate", [degrees]:
            return Affine(cmath.rect(1, math.radians(degrees)))
        case "rotate", [degrees, x, y]:
            turn, centre = cmath.rect(1, math.radians(degrees)), complex(x, y)
            return Affine(turn, shift=centre - turn * centre)
        case "skewx", [degrees]:
            return matrix(1, 0, math.tan(math.radians(degrees)), 1, 0, 0)
        case "skewy", [degrees]:
            return matrix(1, math.tan(math.radians(degrees)), 0, 1, 0, 0)
        case _:
            return None
