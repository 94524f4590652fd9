"""The radar chart: an axis for each task and metric, each named and with a scale of its own that is printed.

A radar shows at a glance who is strong where, and hides how sure that is: bars with intervals stand beside it.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from finesight.report.comparison.axis import Axis, score_axis
from finesight.report.comparison.marks import SHAPES, Contender
from finesight.report.files import Content

FEWEST_AXES = 3
"""With fewer, the shape is a line."""
MOST_AXES = 12
MOST_CONTENDERS = len(SHAPES)
"""So many marks there are."""
WIDTH, HEIGHT, RADIUS = 460, 410, 130
LINE_HEIGHT = 15
LETTERS_A_LINE = 13
MOST_LINES = 3
RINGS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Spoke:
    """An axis of the chart: a task scored by one metric. Outwards is better on each."""

    task: str
    metric: str
    axis: Axis
    scores: Mapping[str, Content]

    @property
    def centre(self) -> str:
        """What is at the centre."""
        return self.axis.ends[0 if self.axis.figures.higher_is_better else 1]

    @property
    def rim(self) -> str:
        """What is at the rim."""
        return self.axis.ends[1 if self.axis.figures.higher_is_better else 0]

    def reach(self, name: str) -> float:
        """Return how far from the centre (0) to the rim (1) a contender comes."""
        place = self.axis.place(self.scores[name]["score"])
        return place if self.axis.figures.higher_is_better else 1 - place


@dataclass(frozen=True)
class Radar:
    """The chart, or why there is none."""

    drawing: Markup | None
    contenders: tuple[Contender, ...]
    note: str


def spokes(tasks: Sequence[Content]) -> list[Spoke]:
    """Return an axis for each task, and one for each metric that is shown beside the task's own."""
    return [
        Spoke(task["name"], entry["metric"], _spoke_axis(entry), entry["scores"])
        for task in tasks
        for entry in (task, *task["also"])
    ]


def radar(axes: Sequence[Spoke], contenders: Sequence[Contender]) -> Radar:
    """Return the chart of these axes; without a drawing where they are too few."""
    if len(axes) < FEWEST_AXES:
        there = "is only 1" if len(axes) == 1 else f"are only {len(axes)}"
        return Radar(None, (), f"There is no radar chart: it takes {FEWEST_AXES} axes, and there {there}.")
    shown, drawn = axes[:MOST_AXES], tuple(contenders[:MOST_CONTENDERS])
    notes = ["Outwards is better on every axis. Each axis has a scale of its own, from the centre to the rim."]
    notes.append("The area means nothing: it depends on the order of the axes.")
    if len(shown) < len(axes):
        notes.append(f"Drawn are the first {len(shown)} of {len(axes)} axes; the bars show all.")
    if len(drawn) < len(contenders):
        notes.append(f"Drawn are the first {len(drawn)} of {len(contenders)} contenders; the bars show all.")
    return Radar(_draw(shown, drawn), drawn, " ".join(notes))


def _spoke_axis(entry: Content) -> Axis:
    """Return the scale of the scores; of a metric of which less is better, from its best value on."""
    axis = score_axis(entry, entry["scores"].values())
    low = axis.low if axis.figures.higher_is_better else float(entry["scale"]["low"])
    return Axis(min(low, axis.high / 2), axis.high, axis.figures)


def _draw(axes: Sequence[Spoke], contenders: Sequence[Contender]) -> Markup:
    rings = Markup("").join(_polygon("ring", [ring] * len(axes)) for ring in RINGS)
    lines = Markup("").join(
        Markup('<line class="spoke" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
            *_point(place, len(axes), 0), *_point(place, len(axes), 1)
        )
        for place in range(len(axes))
    )
    labels = Markup("").join(_label(spoke, place, len(axes)) for place, spoke in enumerate(axes))
    # The first is drawn last, so that what the others are compared with is never hidden.
    shapes = Markup("").join(_contender(axes, contender) for contender in reversed(contenders))
    named = ", ".join(f"{spoke.task} by {spoke.metric}" for spoke in axes)
    return Markup('<svg class="radar" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"Radar chart of {named}; the bars say the same in figures", rings + lines + labels + shapes
    )


def _contender(axes: Sequence[Spoke], contender: Contender) -> Markup:
    reaches = [spoke.reach(contender.name) for spoke in axes]
    marks = Markup("").join(
        Markup('<g transform="translate({:.1f} {:.1f})"><title>{}</title>{}</g>').format(
            *_point(place, len(axes), reaches[place]), _told(contender, spoke), contender.shape
        )
        for place, spoke in enumerate(axes)
    )
    return Markup('<g class="{}">{}{}</g>').format(contender.style, _polygon("line", reaches), marks)


def _told(contender: Contender, spoke: Spoke) -> str:
    return f"{contender.name}, {spoke.task} ({spoke.metric}): {spoke.axis.figures.score(spoke.scores[contender.name])}"


def _label(spoke: Spoke, place: int, axes: int) -> Markup:
    """Return the axis' task, metric and scale, outside of the rim."""
    name = [spoke.task] if spoke.task == spoke.metric else [spoke.task, spoke.metric]
    lines = [line for words in name for line in _wrap(words)]
    angle = _angle(place, axes)
    x = WIDTH / 2 + (RADIUS + 14) * math.sin(angle)
    height = LINE_HEIGHT * (len(lines) + 1)
    y = HEIGHT / 2 - (RADIUS + 12 + height / 2 * abs(math.cos(angle))) * math.cos(angle) - height / 2
    anchor = "middle" if abs(math.sin(angle)) < 0.2 else "start" if math.sin(angle) > 0 else "end"
    rows = Markup("").join(
        Markup('<tspan x="{:.1f}" dy="{}">{}</tspan>').format(x, LINE_HEIGHT, line) for line in lines
    )
    scale = Markup('<tspan class="scale" x="{:.1f}" dy="{}">{} → {}</tspan>').format(
        x, LINE_HEIGHT, spoke.centre, spoke.rim
    )
    return Markup('<text text-anchor="{}" y="{:.1f}">{}{}</text>').format(anchor, y - 3, rows, scale)


def _wrap(words: str) -> list[str]:
    return textwrap.wrap(words, LETTERS_A_LINE, max_lines=MOST_LINES, placeholder="…") or [""]


def _polygon(kind: str, reaches: Sequence[float]) -> Markup:
    corners = (_point(place, len(reaches), reach) for place, reach in enumerate(reaches))
    return Markup('<polygon class="{}" points="{}"/>').format(kind, " ".join(f"{x:.1f},{y:.1f}" for x, y in corners))


def _point(place: int, axes: int, reach: float) -> tuple[float, float]:
    angle = _angle(place, axes)
    return WIDTH / 2 + RADIUS * reach * math.sin(angle), HEIGHT / 2 - RADIUS * reach * math.cos(angle)


def _angle(place: int, axes: int) -> float:
    """Return the direction of an axis in radians, clockwise; the first points up."""
    return 2 * math.pi * place / axes
