"""The page of `finesight compare --html`: who scores what, how sure the differences are, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from finesight.report.comparison.headline import headline, remarks, sentences
from finesight.report.comparison.items import Items, differing_items
from finesight.report.comparison.marks import Contender, mark_all
from finesight.report.comparison.radar import Radar, radar, spokes
from finesight.report.comparison.roles import RoleView, view_role
from finesight.report.comparison.tables import TaskView, view_task
from finesight.report.files import Content
from finesight.report.templating import render
from finesight.rundir import write_text
from finesight.schema import Judged

GENERATOR = "finesight compare"
"""By this name a comparison's page says what has made it."""
_BEGINNING_BYTES = 1000
"""In which a page says so."""


@dataclass(frozen=True)
class TaskSection:
    """One task with its figures and the examples to look at."""

    view: TaskView
    role: RoleView
    items: Items


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    title: Markup
    sentences: tuple[Markup, ...]
    remarks: tuple[Markup, ...]
    warnings: tuple[str, ...]
    contenders: tuple[Contender, ...]
    tasks: tuple[TaskSection, ...]
    radar: Radar


def write_comparison(
    comparison: Content,
    answers: Mapping[str, Mapping[str, Sequence[Judged]]],
    folders: Mapping[str, Path],
    path: Path,
) -> None:
    """Write the page of a detailed comparison as one file that needs no network.

    `answers` are those of each task's contenders, a task's all in one order; `folders` says where the thumbnails of a
    contender's records are. Raises `OSError` where the file cannot be written.
    """
    write_text(path, render_comparison(gather(comparison, answers, folders)))


def gather(
    comparison: Content, answers: Mapping[str, Mapping[str, Sequence[Judged]]], folders: Mapping[str, Path]
) -> Page:
    """Return what the page shows."""
    contenders = mark_all(comparison["contenders"])
    tasks = comparison["tasks"]
    return Page(
        title=headline(comparison),
        sentences=sentences(comparison, contenders),
        remarks=remarks(comparison, contenders),
        warnings=tuple(comparison["warnings"]),
        contenders=contenders,
        tasks=tuple(
            TaskSection(
                view_task(task, contenders),
                view_role(task, contenders),
                differing_items(task, contenders, answers[task["name"]], folders),
            )
            for task in tasks
        ),
        radar=radar(spokes(tasks), contenders),
    )


def render_comparison(page: Page) -> str:
    """Return the page as HTML."""
    return render("comparison.html.j2", "comparison.css", page=page, generator=GENERATOR)


def is_comparison(path: Path) -> bool:
    """Return whether a file is a comparison's page, which may be written anew. Raises `OSError` where it is none that
    can be read.
    """
    with path.open("rb") as file:
        return f'<meta name="generator" content="{GENERATOR}">'.encode() in file.read(_BEGINNING_BYTES)
