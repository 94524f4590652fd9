"""The page of `finesight look`: what the model will see, before a step is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finesight import numerals
from finesight.report.look.drawings import draw_bars, draw_rows, draw_sight
from finesight.report.look.figures import figure_rows, sum_up
from finesight.report.look.tokens import write_row, write_segment
from finesight.report.templating import render
from finesight.rundir import write_text


def write_look(content: Mapping[str, Any], path: Path) -> None:
    """Write what was looked at as one HTML file that needs no network. Raises `OSError` where it cannot be written."""
    write_text(path, render_look(content))


def render_look(content: Mapping[str, Any]) -> str:
    """Return the page as HTML."""
    return render(
        "look.html.j2",
        "look.css",
        look=content,
        sentences=sum_up(content),
        figure_rows=figure_rows,
        draw_bars=draw_bars,
        draw_rows=draw_rows,
        draw_sight=draw_sight,
        write_row=write_row,
        write_segment=write_segment,
        plural=numerals.plural,
        count=numerals.count,
    )
