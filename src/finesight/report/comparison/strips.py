"""Drawings as wide as the table cell they stand in: a score as a bar, a difference about zero, both with intervals.

Places are shares of the width and sizes are pixels, so that a strip fits a screen of any width and its marks keep their
form. The figures stand beside each strip as text, so it is hidden from screen readers.
"""

from __future__ import annotations

from markupsafe import Markup

from finesight.report.comparison.axis import Axis
from finesight.report.comparison.marks import Contender
from finesight.report.files import Content

HEIGHT = 20
"""Pixels."""


def draw_score(contender: Contender, score: Content, axis: Axis) -> Markup:
    """Return a bar from nothing to the score, its 95 % interval and the contender's mark."""
    begin, end = sorted((axis.place(0.0), axis.place(score["score"])))
    bar = Markup('<rect class="bar" x="{}" y="4" width="{}" height="12"/>').format(_share(begin), _share(end - begin))
    return _strip(contender, bar + _interval(score, axis) + _mark(contender, axis.place(score["score"])))


def draw_difference(contender: Contender, difference: Content, axis: Axis) -> Markup:
    """Return a line at zero, the 95 % interval of the difference and the contender's mark."""
    zero = Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(_share(axis.place(0.0)), HEIGHT)
    return _strip(contender, zero + _interval(difference, axis) + _mark(contender, axis.place(difference["estimate"])))


def _interval(of: Content, axis: Axis) -> Markup:
    low = 0.0 if of["low"] is None else axis.place(of["low"])
    high = axis.place(of["high"])
    ends = Markup("").join(
        Markup('<line x1="{0}" x2="{0}" y1="6" y2="14"/>').format(_share(place)) for place in (low, high)
    )
    return Markup('<g class="interval"><line x1="{}" x2="{}" y1="10" y2="10"/>{}</g>').format(
        _share(low), _share(high), ends
    )


def _mark(contender: Contender, place: float) -> Markup:
    return Markup('<svg x="{}" y="10" overflow="visible">{}</svg>').format(_share(place), contender.shape)


def _strip(contender: Contender, inside: Markup) -> Markup:
    return Markup('<svg class="strip {}" width="100%" height="{}" aria-hidden="true">{}</svg>').format(
        contender.style, HEIGHT, inside
    )


def _share(place: float) -> str:
    return f"{100 * place:.2f}%"
