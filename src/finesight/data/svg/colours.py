"""Colours as CSS writes them: names, hexadecimal, rgb() and hsl()."""

from __future__ import annotations

import colorsys
import itertools
import re
from functools import lru_cache
from typing import NamedTuple

from PIL import ImageColor

from finesight.data.svg.numerals import NUMBER, parse_numbers, parse_share

_FUNCTION = re.compile(r"(rgb|hsl)a?\(([^()]{1,100})\)$")
_HEXADECIMAL = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})$")
_DEGREES = {"deg": 1.0, "grad": 0.9, "rad": 57.29577951308232, "turn": 360.0, "": 1.0}


class Colour(NamedTuple):
    """Red, green and blue, 0 to 255, and how opaque it is, 0 to 1."""

    red: int
    green: int
    blue: int
    alpha: float = 1.0


BLACK = Colour(0, 0, 0)


@lru_cache(maxsize=4096)
def parse_colour(text: str) -> Colour | None:
    """Return the colour that `text` says, or None where it says none."""
    text = text.strip().lower()
    if text == "transparent":
        return Colour(0, 0, 0, 0.0)
    if text in ImageColor.colormap:
        return Colour(*ImageColor.getrgb(text)[:3])
    if _HEXADECIMAL.match(text):
        return _from_hexadecimal(text[1:])
    if found := _FUNCTION.match(text):
        parts = [part for part in re.split(r"[\s,/]+", found[2].strip()) if part]
        if len(parts) in (3, 4) and all(NUMBER.match(part) for part in parts):
            return _from_function(found[1], parts)
    return None


def _from_hexadecimal(digits: str) -> Colour:
    if len(digits) < 6:
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue, *alpha = (int(digits[at : at + 2], 16) for at in range(0, len(digits), 2))
    return Colour(red, green, blue, alpha[0] / 255 if alpha else 1.0)


def _from_function(name: str, parts: list[str]) -> Colour | None:
    alpha = parse_share(parts[3]) if len(parts) == 4 else 1.0
    if name == "rgb":
        red, green, blue = (_channel(part) for part in parts[:3])
        return Colour(red, green, blue, alpha)
    unit = parts[0].lstrip("+-.0123456789")
    if unit not in _DEGREES:
        return None
    hue = parse_numbers(parts[0])[0] * _DEGREES[unit] / 360
    saturation, lightness = (_percentage(part) for part in parts[1:3])
    red, green, blue = (round(255 * share) for share in colorsys.hls_to_rgb(hue % 1, lightness, saturation))
    return Colour(red, green, blue, alpha)


def _channel(text: str) -> int:
    number = parse_numbers(text)[0] * (2.55 if text.endswith("%") else 1)
    return round(min(255.0, max(0.0, number)))


def _percentage(text: str) -> float:
    return min(1.0, max(0.0, parse_numbers(text)[0] / 100))


def mean_colour(stops: list[tuple[float, Colour]]) -> Colour | None:
    """Return the mean of a gradient along its way: stops as (offset, colour), in order. None without stops."""
    if not stops:
        return None
    padded = [(0.0, stops[0][1]), *stops, (1.0, stops[-1][1])]
    sums = [0.0] * 4
    for (begin, first), (end, last) in itertools.pairwise(padded):
        for channel in range(4):
            sums[channel] += max(0.0, end - begin) * (first[channel] + last[channel]) / 2
    return Colour(round(sums[0]), round(sums[1]), round(sums[2]), sums[3])
