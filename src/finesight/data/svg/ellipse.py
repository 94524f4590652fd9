"""Pieces of ellipses: where they lie, what an affine map makes of them, and the curves that come close."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from finesight.data.svg.affine import Affine

_NOTHING = 1e-9
_LEAST = -44.5
"""Of an ellipse's rotations, in degrees; so rounded ones have one form too, 45 and not -45."""
_QUARTER = math.pi / 2


@dataclass(frozen=True, slots=True)
class Sector:
    """A piece of an ellipse in its place. Its angles are those of the unit circle that it is stretched from."""

    radius_x: float
    radius_y: float
    rotation: float
    """Of the first axis, in degrees."""
    centre: complex
    start: float
    angle: float
    """How far it goes, in radians; negative against the clock of the screen."""

    def at(self, share: float) -> complex:
        """Return the point after a share of the way, 0 to 1."""
        return self._stretched(cmath.rect(1, self.start + share * self.angle))

    def part(self, start: float, end: float) -> Sector:
        """Return the piece from one share of the way to another."""
        return replace(self, start=self.start + start * self.angle, angle=(end - start) * self.angle)

    def curves(self) -> Iterator[tuple[complex, complex, complex]]:
        """Yield cubic curves (two handles and an end), none longer than a quarter, within 0.03 % of the radius."""
        count = max(1, math.ceil(abs(self.angle) / _QUARTER - _NOTHING))
        step = self.angle / count
        handle = 4j / 3 * math.tan(step / 4)
        for number in range(count):
            begin = cmath.rect(1, self.start + number * step)
            end = cmath.rect(1, self.start + (number + 1) * step)
            yield self._stretched(begin * (1 + handle)), self._stretched(end * (1 - handle)), self._stretched(end)

    def _stretched(self, point: complex) -> complex:
        stretched = complex(self.radius_x * point.real, self.radius_y * point.imag)
        return self.centre + cmath.rect(1, math.radians(self.rotation)) * stretched


def place(
    begin: complex, radius_x: float, radius_y: float, rotation: float, large: bool, sweep: bool, end: complex
) -> Sector | None:
    """Return the piece of an ellipse that path data's arc stands for, or None where it stands for a straight line.

    Radii that do not reach from one end to the other are lengthened until they do (SVG 2, appendix B.2).
    """
    if min(radius_x, radius_y) < _NOTHING or begin == end:
        return None
    upright = cmath.rect(1, -math.radians(rotation))
    first, last = (_squeezed(upright * point, radius_x, radius_y) for point in (begin, end))
    half = (last - first) / 2
    reach = abs(half)
    if reach < _NOTHING:
        return None
    lengthened = max(1.0, reach)
    away = math.sqrt(max(0.0, 1 - reach**2)) if lengthened == 1.0 else 0.0
    centre = (first + last) / 2 + half / reach * (-1j if large == sweep else 1j) * away
    start, finish = cmath.phase(first - centre), cmath.phase(last - centre)
    angle = (finish - start) % math.tau if sweep else -((start - finish) % math.tau)
    radius_x, radius_y = radius_x * lengthened, radius_y * lengthened
    middle = complex(centre.real * radius_x, centre.imag * radius_y) / lengthened
    return Sector(radius_x, radius_y, rotation, middle / upright, start, angle)


def map_axes(radius_x: float, radius_y: float, rotation: float, affine: Affine) -> tuple[float, float, float]:
    """Return the radii of an ellipse's image, and its rotation: -44.5 to 45.5 degrees, none for a circle.

    The ellipse is the unit circle under z → p·z + q·conj(z), and so is its image, with another p and q: the radii are
    |p| + |q| and ||p| − |q||, and the first axis points halfway between p and q.
    """
    direction = cmath.rect(0.5, math.radians(rotation))
    p, q = direction * (radius_x + radius_y), direction * (radius_x - radius_y)
    turn = affine.turn * p + affine.mirror * q.conjugate()
    mirror = affine.turn * q + affine.mirror * p.conjugate()
    longer, shorter = abs(turn) + abs(mirror), abs(abs(turn) - abs(mirror))
    if longer - shorter <= _NOTHING * longer:
        return longer, longer, 0.0
    degrees = (math.degrees(cmath.phase(turn) + cmath.phase(mirror)) / 2 - _LEAST) % 180 + _LEAST
    return (longer, shorter, degrees) if degrees < _LEAST + 90 else (shorter, longer, degrees - 90)


def _squeezed(point: complex, radius_x: float, radius_y: float) -> complex:
    return complex(point.real / radius_x, point.imag / radius_y)
