"""The page's drawings: inline SVG whose colours the style sheet sets, so that they follow light, dark and print.

Text stays text: the browser draws it in its own fonts, so that a label in any script is readable, selectable and
spoken by a screen reader.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

from markupsafe import Markup

from finesight.numerals import Figures

INK = {
    "text": "#000001",
    "soft": "#000002",
    "rule": "#000003",
    "paper": "#000004",
    "before": "#000005",
    "after": "#000006",
    "validation": "#000007",
    "best": "#000008",
}
"""Stand-in colours that are drawn with, each replaced by the style sheet's variable of that name."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "finesight",
    "text.parse_math": False,
    "font.size": 10,
    "axes.unicode_minus": True,
    "hatch.linewidth": 0.8,
}
STYLES: Mapping[str, Mapping[str, Any]] = {
    "before": {"facecolor": INK["before"], "edgecolor": INK["before"]},
    "after": {"facecolor": INK["after"], "edgecolor": INK["after"]},
    "blind": {"facecolor": "none", "edgecolor": INK["after"]},
    "majority": {"facecolor": "none", "edgecolor": INK["soft"]},
    "majority_by_question_type": {"facecolor": "none", "edgecolor": INK["soft"], "linestyle": (0, (3, 2))},
}
"""Measured answers are filled, baselines hollow: shape says it, not colour alone."""
BARS_WIDTH_INCHES = 4.6
CURVES_SIZE_INCHES = (5.4, 2.8)
"""Small, so that the letters stay readable where a phone shows the whole width."""


@dataclass(frozen=True)
class Bar:
    """One score as a bar with its 95 % interval."""

    predictor: str
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class BarRow:
    """Bars that stand together under one label."""

    label: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Curve:
    """One line over the optimizer steps."""

    name: str
    kind: str
    """`train` or `validation`."""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    is_dashed: bool = False


def draw_bars(rows: Sequence[BarRow], description: str, figures: Figures) -> Markup:
    """Return horizontal bars with interval whiskers as SVG. `description` is read to the blind."""
    from matplotlib.figure import Figure

    gap = 0.75
    factor = 100 if figures.percent else 1
    bars = sum(len(row.bars) for row in rows)
    inches_a_bar = 0.2 if bars == len(rows) else 0.145
    with _settings():
        figure = Figure(
            figsize=(BARS_WIDTH_INCHES, 0.62 + inches_a_bar * (bars + gap * len(rows))), layout="constrained"
        )
        axes = figure.add_subplot()
        place, centres = 0.0, []
        for row in rows:
            centres.append(place + (len(row.bars) - 1) / 2)
            for bar in row.bars:
                axes.barh(place, factor * bar.score, height=0.8, linewidth=1.2, **STYLES[bar.predictor])
                axes.plot([factor * bar.low, factor * bar.high], [place, place], color=INK["text"], linewidth=1.2,
                          marker="|", markersize=5, markeredgewidth=1.2, solid_capstyle="butt")  # fmt: skip
                place += 1
            place += gap
        axes.set_yticks(centres, [row.label for row in rows])
        axes.set_ylim(place - gap, -1)
        highest = max((bar.high for row in rows for bar in row.bars), default=1.0)
        axes.set_xlim(0, min(100, 100 * highest * 1.05 + 1) if figures.percent else 1.05 * highest or 1)
        axes.set_xlabel(f"{'score, %' if figures.percent else 'score'}, with 95 % intervals")
        _plain(axes, grid="x")
        return _svg(figure, description)


def draw_curves(
    curves: Sequence[Curve], vertical_axis: str, description: str, best: tuple[int, float] | None = None
) -> Markup:
    """Return curves over optimizer steps as SVG; `best` is the step and value of the checkpoint that was chosen."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with _settings():
        figure = Figure(figsize=CURVES_SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for curve in curves:
            is_validation = curve.kind == "validation"
            axes.plot(
                curve.steps,
                [value if math.isfinite(value) else math.nan for value in curve.values],
                color=INK["validation"] if is_validation else INK["before"],
                linewidth=2.0 if is_validation else 1.3,
                linestyle=(0, (4, 2)) if curve.is_dashed else "solid",
                marker="o" if is_validation or len(curve.steps) == 1 else None,
                markersize=4.5,
            )
        if best is not None:
            step, value = best
            axes.axvline(step, color=INK["best"], linewidth=1, linestyle=(0, (1, 2)))
            axes.plot([step], [value], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=INK["best"],
                      markeredgewidth=1.6)  # fmt: skip
        axes.set_xlabel("optimizer step")
        axes.set_ylabel(vertical_axis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03)
        _plain(axes, grid="y")
        return _svg(figure, description)


@contextmanager
def _settings() -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context(SETTINGS), warnings.catch_warnings():
        # Only the layout is measured with matplotlib's font; the browser has the letters that it lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _plain(axes: Any, grid: str) -> None:
    """Leave of the axes what carries information."""
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK["rule"])
    axes.tick_params(axis="both", length=0, labelcolor=INK["text"])
    axes.xaxis.label.set_color(INK["soft"])
    axes.yaxis.label.set_color(INK["soft"])
    axes.grid(axis=grid, color=INK["rule"], linewidth=0.7)
    axes.set_axisbelow(True)


def _svg(figure: Any, description: str) -> Markup:
    """Return the figure as SVG for the inside of a page: no size of its own, no fonts, colours as variables."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", drawing)  # numbers that every figure would repeat
    drawing = re.sub(r"font: [^;\"]*?(\d[\d.]*px)[^;\"]*", r"font-size: \1", drawing)
    for name, colour in INK.items():
        drawing = drawing.replace(colour, f"var(--{name})")
    opening = re.match(r"<svg[^>]*>", drawing)
    assert opening is not None
    view = re.search(r'viewBox="([^"]*)"', opening[0])
    assert view is not None
    start = Markup('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                   'viewBox="{}" role="img" aria-label="{}">').format(view[1], description)  # fmt: skip
    return start + Markup(drawing[opening.end() :].strip())
