"""The path-a-line text: what a language model reads of a drawing, and the way back.

Each line is one path: how it is painted, a tab, and its outline on a canvas of 512×512.

    style=fill:3,84,76;stroke:None;stroke-width:1;opacity:1<TAB>d=M11,471 A14,28,0,1,0,40,471
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from finesight.data.svg.colours import BLACK, parse_colour
from finesight.data.svg.numerals import NUMBER, parse_share, to_number
from finesight.data.svg.path import Close, Move, Path, write_segment
from finesight.data.svg.path_data import parse_path_data
from finesight.errors import DataError

RGB = tuple[int, int, int]

_PARTS = re.compile(r"[ \t]*style=(?P<style>[^\t]*?)[\t ]+d=(?P<data>[^=]*)$")
_BARE_NUMBERS = re.compile(r"[0-9]{1,3}\s*,\s*[0-9]{1,3}\s*,\s*[0-9]{1,3}$")
_NOTHING = ("none", "null", "")
_FORM = "a line is style=fill:R,G,B;stroke:None;stroke-width:1;opacity:1, a tab, and d=M… L… C… A…"


@dataclass(frozen=True, slots=True)
class PathLine:
    """One line of the text."""

    fill: RGB | None
    stroke: RGB | None
    stroke_width: float
    opacity: float
    data: str
    """Path data on the canvas."""

    def __str__(self) -> str:
        paints = f"fill:{_write_colour(self.fill)};stroke:{_write_colour(self.stroke)}"
        return f"style={paints};stroke-width:{self.stroke_width:g};opacity:{self.opacity:g}\td={self.data}"


def write_path_lines(lines: Iterable[PathLine]) -> str:
    """Return the lines as text, without an empty line at the end."""
    return "\n".join(map(str, lines))


def parse_path_lines(text: str, name: str = "text") -> list[PathLine]:
    """Return the lines of a path-a-line text, whoever wrote it; empty lines count for nothing.

    A tab or blanks part style and outline. Colours may be `3,84,76`, `rgb(3, 84, 76)`, anything else that CSS knows,
    or `None`, `none` and `null`; `currentColor` is black. What a style leaves out is as SVG has it: filled black, no
    stroke, of width 1, opaque. Raises `DataError`, with the line, for a line of another form.
    """
    parsed = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            parsed.append(_parse_line(line))
        except DataError as error:
            raise DataError(f"{name}:{number}: {error.message}", hint=error.hint) from error
    return parsed


def restore(text: str, name: str = "text") -> str:
    """Return a path-a-line text as an SVG file of 512×512. Raises `DataError` as `parse_path_lines` does.

    The text says nothing of the ends and joints of strokes: they are drawn round, which no rounding turns into spikes.
    A line that ends where it began is closed.
    """
    size = 'width="512" height="512" viewBox="0 0 512 512"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} stroke-linecap="round" stroke-linejoin="round">'
    return "\n".join([head, *map(_write_element, parse_path_lines(text, name)), "</svg>"]) + "\n"


def _parse_line(line: str) -> PathLine:
    if not (found := _PARTS.match(line)):
        raise DataError("not a path: no style= and d=", hint=_FORM)
    style = dict(_parse_entry(entry) for entry in found["style"].split(";") if entry.strip())
    data = found["data"].strip()
    path, end = parse_path_data(data)
    if not path or end < len(data):
        raise DataError(f"not an outline: {data[end : end + 40] or 'd= is empty'}", hint=_FORM)
    width, opacity = style.get("stroke-width", "1"), style.get("opacity", "1")
    for said in (width, opacity):
        if not NUMBER.fullmatch(said):
            raise DataError(f"not a number: {said[:40]}", hint=_FORM)
    fill, stroke = (
        _parse_colour(style.get(kind, default)) for kind, default in (("fill", "0,0,0"), ("stroke", "None"))
    )
    return PathLine(fill, stroke, max(0.0, to_number(width)), parse_share(opacity), data)


def _parse_entry(entry: str) -> tuple[str, str]:
    name, colon, value = entry.partition(":")
    if not colon:
        raise DataError(f"not a style: {entry.strip()[:40]}", hint=_FORM)
    return name.strip().lower(), value.strip()


def _parse_colour(text: str) -> RGB | None:
    plain = text.lower()
    if plain in _NOTHING:
        return None
    if plain == "currentcolor":
        return BLACK[:3]
    colour = parse_colour(f"rgb({plain})" if _BARE_NUMBERS.match(plain) else plain)
    if colour is None:
        raise DataError(f"not a colour: {text[:40]}", hint=_FORM)
    return colour[:3]


def _write_colour(colour: RGB | None) -> str:
    return ",".join(map(str, colour)) if colour else "None"


def _write_element(line: PathLine) -> str:
    attributes = {"fill": f"rgb({_write_colour(line.fill)})" if line.fill else "none"}
    if line.stroke:
        attributes |= {"stroke": f"rgb({_write_colour(line.stroke)})", "stroke-width": f"{line.stroke_width:g}"}
    if line.opacity < 1:
        attributes["opacity"] = f"{line.opacity:g}"
    attributes["d"] = _write_closed(parse_path_data(line.data)[0])
    return "<path " + " ".join(f'{name}="{value}"' for name, value in attributes.items()) + "/>"


def _write_closed(path: Path) -> str:
    """Return path data in which a line that ends at its first point is closed."""
    words: list[str] = []
    begin = path[0].end
    for segment, following in itertools.zip_longest(path, path[1:]):
        words.append(write_segment(segment))
        is_last = following is None or isinstance(following, Move)
        if isinstance(segment, Move):
            begin = segment.end
        elif is_last and segment.end == begin and not isinstance(segment, Close):
            words.append("Z")
    return " ".join(words)
