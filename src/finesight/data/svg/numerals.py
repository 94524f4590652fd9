"""Numbers, lengths and lists of them, as SVG writes them."""

from __future__ import annotations

import re

from finesight.errors import DataError

MAX_NUMBER = 1e9
"""Far beyond any drawing, and far from where floating point numbers overflow."""
_MAX_DIGITS = 400

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
SEPARATOR = re.compile(r"[ \t\r\n\f]*,?[ \t\r\n\f]*")
_PIXELS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6}


def to_number(text: str) -> float:
    """Return the number that `text` spells. Raises `DataError` when it is beyond a thousand million."""
    number = float(text) if len(text) <= _MAX_DIGITS else MAX_NUMBER * 10
    if not abs(number) <= MAX_NUMBER:
        raise DataError(f"a number is too large: {text[:20]}")
    return number


def parse_numbers(text: str) -> list[float]:
    """Return the numbers of a list parted by blanks or commas, up to the first thing that is none."""
    numbers: list[float] = []
    position = 0
    while found := NUMBER.match(text, skip(SEPARATOR, text, position)):
        numbers.append(to_number(found[0]))
        position = found.end()
    return numbers


def parse_length(text: str | None, whole: float, font_size: float = 16.0) -> float | None:
    """Return a length in pixels (96 an inch), or None where `text` is no length. A percentage is of `whole`."""
    if text is None or not (found := NUMBER.match(text := text.strip().lower())):
        return None
    number, unit = to_number(found[0]), text[found.end() :]
    if unit == "%":
        return number / 100 * whole
    if unit in ("em", "rem"):
        return number * font_size
    if unit == "ex":
        return number * font_size / 2
    return number * _PIXELS[unit] if unit in _PIXELS else None


def parse_share(text: str | None, default: float = 1.0) -> float:
    """Return an opacity or an offset, a number or a percentage, cut to 0 to 1; `default` where it is neither."""
    length = parse_length(text, 1.0)
    return default if length is None else min(1.0, max(0.0, length))


def skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Return where `pattern` ends that may stand at a position of the text."""
    found = pattern.match(text, position)
    return found.end() if found else position
