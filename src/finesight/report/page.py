"""The page of a run: what its files say, in the order in which a person wants to know it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from finesight.report import progress
from finesight.report.advice import advise
from finesight.report.files import RunFiles, read_files
from finesight.report.gallery import Group, gallery
from finesight.report.incidents import IncidentRow, incident_rows
from finesight.report.panels import Panel, stage_panels, task_panels
from finesight.report.tables import (
    CheckRow,
    DataView,
    StageParameters,
    check_rows,
    data_view,
    environment_rows,
    parameter_stages,
)
from finesight.report.tasks import TaskView, view_task
from finesight.report.templating import render
from finesight.report.words import continued_sentence
from finesight.rundir import RunDir, write_text

REPORT_FILE = "report.html"


@dataclass(frozen=True)
class TaskSection:
    """One task with its drawings and its answers to look at."""

    view: TaskView
    panels: tuple[Panel, ...]
    gallery: tuple[Group, ...]


@dataclass(frozen=True)
class Page:
    """All that the template shows."""

    name: str
    started: str
    verdict: str
    """One of verdict.json's verdicts, or nothing while there is none."""
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    replaced: tuple[str, ...]
    """What stood in for what; only a rehearsal has such."""
    is_finished: bool
    ended: str
    """How the run ended that did not come to its end, and what to do about it."""
    steps: tuple[progress.Step, ...]
    tasks: tuple[TaskSection, ...]
    curves: tuple[Panel, ...]
    advice: tuple[str, ...]
    parameters: tuple[StageParameters, ...]
    data: DataView | None
    incidents: tuple[IncidentRow, ...]
    checks: tuple[CheckRow, ...]
    recipe_lines: tuple[Markup, ...]
    environment: tuple[tuple[str, str], ...]


def write_report(run: RunDir) -> Path:
    """Write `report.html` into the run folder and return its path.

    The page is one file that needs no network. Where the run has not come to something yet, the page says so. Raises
    `UserError` when a file of the folder is damaged.
    """
    path = run.path / REPORT_FILE
    write_text(path, render_report(gather(read_files(run))))
    return path


def gather(files: RunFiles) -> Page:
    """Return what the page shows of a run's files."""
    headline = files.verdict.get("headline", {})
    return Page(
        name=files.recipe.name,
        started=str(files.environment.get("started", "")),
        verdict=headline.get("verdict", ""),
        sentences=(*headline.get("sentences", ()), *_continued(files), *_stopped_early(files)),
        warnings=(*headline.get("warnings", ()), *_changed(files)),
        replaced=tuple(files.rehearsal.get("replaced", ())),
        is_finished=progress.is_finished(files),
        ended=progress.how_it_ended(files),
        steps=progress.steps(files, progress.answered_in(files)),
        tasks=tuple(
            TaskSection(view_task(files, task), task_panels(task), gallery(files, task)) for task in files.judged_tasks
        ),
        curves=tuple(panel for stage in files.recipe.each_stage() for panel in stage_panels(files, stage)),
        advice=advise(files),
        parameters=parameter_stages(files.parameters),
        data=data_view(files.data, files.path),
        incidents=incident_rows(files),
        checks=check_rows(files.checks),
        recipe_lines=tuple(map(_colour_yaml, files.recipe_text.splitlines())),
        environment=environment_rows(files),
    )


def _continued(files: RunFiles) -> Iterator[str]:
    """Yield what "before" means where that is not the published model, once there is a verdict to be read."""
    continued = files.recipe.model.continue_from
    if continued is not None and files.verdict:
        yield continued_sentence(continued.run)


def _changed(files: RunFiles) -> Iterator[str]:
    """Yield what of the recipe is not as it was when the first steps were taken."""
    for change in files.environment.get("recipe_changes", ()):
        yield f"The recipe was changed while the run went on: {change}."


def _stopped_early(files: RunFiles) -> Iterator[str]:
    """Yield which stages were stopped before their last step, and why."""
    for stage in files.recipe.each_stage():
        if told := progress.early_end(files, stage):
            yield f"{stage.name}: {told}."


def render_report(page: Page) -> str:
    """Return the page as HTML."""
    return render("report.html.j2", page=page)


def _colour_yaml(line: str) -> Markup:
    """Return a line of the recipe with its key or its comment marked for the style sheet."""
    if line.lstrip().startswith("#"):
        return Markup('<span class="comment">{}</span>').format(line)
    matched = re.match(r"([\s-]*)([\w.]+)(:)(?=\s|$)(.*)", line)
    if matched is None:
        return escape(line)
    before, key, colon, rest = matched.groups()
    return Markup('{}<span class="key">{}</span>{}{}').format(before, key, colon, rest)
