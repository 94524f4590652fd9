"""Small drawings of the page: lengths as bars, rows as they lie, and who sees whom. The style sheet colours them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from finesight import numerals

BARS = (240, 56)
"""Width and height of the bars, in units of the drawing."""
ROW_WIDTH = 720
ROW_HEIGHT = 26
ROW_GAP = 8
NARROWEST_LABEL = 26
"""Where a segment has room for its name."""
CELL = 16
SIGHT_LABEL = 64


def draw_bars(tokens: Mapping[str, Any]) -> Markup:
    """Return how many examples have which length, as bars."""
    counts, edges = tokens["counts"], tokens["edges"]
    width, height = BARS
    step, highest = width / len(counts), max(counts)
    bars = Markup("").join(
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>').format(
            step * place + 0.5,
            height - height * count / highest,
            max(step - 1, 0.5),
            height * count / highest,
            f"{_length(edges[place], min(edges[place + 1] - 1, tokens['max']))}: {numerals.plural(count, 'example')}",
        )
        for place, count in enumerate(counts)
    )
    labels = Markup(
        '<text x="0" y="{0}">{2}</text><text x="{1}" y="{0}" text-anchor="end">{3}</text>'
        '<text x="{4}" y="{0}" text-anchor="middle">tokens</text>'
    ).format(height + 14, width, numerals.count(tokens["min"]), numerals.count(tokens["max"]), width / 2)
    axis = Markup('<line x1="0" x2="{0}" y1="{1}" y2="{1}"/>').format(width, height)
    return _svg(width, height + 18, "bars", "How many examples have which length", bars + axis + labels)


def draw_rows(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Return rows as they go through the model together: prefixes, branches, and padding, as wide as their tokens."""
    whole = max(row["tokens"] + row["padding"] for row in rows)
    drawn = Markup("").join(
        _draw_row(row, place * (ROW_HEIGHT + ROW_GAP), ROW_WIDTH / whole) for place, row in enumerate(rows)
    )
    height = len(rows) * (ROW_HEIGHT + ROW_GAP) - ROW_GAP
    return _svg(ROW_WIDTH, height, "rows", "Prefix, branches and padding of each row", drawn)


def draw_sight(row: Mapping[str, Any]) -> Markup:
    """Return who sees whom in a row: a line for each segment, a column for each that it may see."""
    names = ["prefix", *(str(number) for number in range(1, len(row["segments"])))]
    cells = Markup("").join(
        _draw_cell(line, column, what) for line, sight in enumerate(row["sees"]) for column, what in enumerate(sight)
    )
    side = CELL * len(names)
    labels = Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(SIGHT_LABEL - 6, place * CELL + CELL - 4, name)
        for place, name in enumerate(names)
    )
    return _svg(
        SIGHT_LABEL + side, side, "sight", "Who sees whom: a line is who looks, a column is seen", cells + labels
    )


def _draw_row(row: Mapping[str, Any], top: int, unit: float) -> Markup:
    start, drawn = 0, Markup("")
    for number, segment in enumerate(row["segments"]):
        name = f"branch {number}" if number else "prefix"
        last = segment["last_position"]
        said = f"{name}: {numerals.plural(segment['tokens'], 'token')}, positions {segment['first_position']} to {last}"
        short = str(number) if number else "prefix"
        drawn += _draw_segment(
            start * unit, top, segment["tokens"] * unit, f"branch{number % 2}" if number else "prefix", short, said
        )
        start += segment["tokens"]
    if row["padding"]:
        said = f"padding: {numerals.plural(row['padding'], 'token')}"
        drawn += _draw_segment(start * unit, top, row["padding"] * unit, "padding", "padding", said)
    return drawn


def _draw_segment(left: float, top: int, width: float, kind: str, name: str, said: str) -> Markup:
    has_room = width >= max(NARROWEST_LABEL, 8 * len(name))
    label = (
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(left + width / 2, top + 17, name)
        if has_room
        else Markup("")
    )
    return Markup('<g class="{}"><title>{}</title><rect x="{:.2f}" y="{}" width="{:.2f}" height="{}"/>{}</g>').format(
        kind, said, left, top, width, ROW_HEIGHT, label
    )


def _draw_cell(line: int, column: int, what: str) -> Markup:
    left, top, side = SIGHT_LABEL + column * CELL, line * CELL, CELL - 1
    frame = Markup('<rect class="frame" x="{}" y="{}" width="{}" height="{}"/>').format(left, top, side, side)
    match what:
        case "all":
            return frame + Markup('<rect class="seen" x="{}" y="{}" width="{}" height="{}"/>').format(
                left, top, side, side
            )
        case "before":
            corners = f"{left},{top} {left},{top + side} {left + side},{top + side}"
            return frame + Markup('<polygon class="seen" points="{}"/>').format(corners)
        case _:
            return frame


def _length(low: int, high: int) -> str:
    return f"{low} tokens" if low == high else f"{low} to {high} tokens"


def _svg(width: float, height: float, kind: str, description: str, inside: Markup) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" style="max-width:{}px" role="img" aria-label="{}">{}</svg>'
    ).format(kind, width, height, width, description, inside)
