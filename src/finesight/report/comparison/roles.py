"""Tasks with a role of their own: what should be kept of old abilities, and examples that were learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from finesight import numerals
from finesight.report.comparison.marks import Contender
from finesight.report.files import Content
from finesight.report.tasks import kept_or_lost
from finesight.report.templating import in_one_piece, unbroken
from finesight.report.words import ROLES

TITLES = {
    "forgetting": "Kept or lost by each one's own tuning",
    "memorization": "Learned by each one's own tuning",
}


@dataclass(frozen=True)
class OwnChange:
    """What one contender's tuning did to its answers."""

    contender: Contender
    before: str
    after: str
    told: str


@dataclass(frozen=True)
class RoleView:
    """Why a task was measured beside the held-out ones, and what each contender's own tuning did on it."""

    name: str
    """Nothing for a held-out task."""
    title: str
    rows: tuple[OwnChange, ...]


def view_role(task: Content, contenders: Sequence[Contender]) -> RoleView:
    """Return what the page says of a task's role."""
    if task["role"] == "held_out":
        return RoleView("", "", ())
    rows = tuple(_own_change(task, contender) for contender in contenders if contender.name in task["by_tuning"])
    return RoleView(ROLES[task["role"]], TITLES[task["role"]], rows)


def kept_sentences(tasks: Sequence[Content], contenders: Sequence[Contender]) -> tuple[Markup, ...]:
    """Return what each contender's own tuning has kept or lost, a sentence for each task that asks for it."""
    return tuple(
        Markup("{} by its own tuning, {}: {} → {}. {}").format(
            row.contender.label, task["name"], unbroken(row.before), unbroken(row.after), in_one_piece(row.told)
        )
        for task in tasks
        if task["role"] == "forgetting"
        for row in view_role(task, contenders).rows
    )


def is_contest(task: Content) -> bool:
    """Return whether it is better to score more on a task: not where the examples were learned by heart."""
    return bool(task["role"] != "memorization")


def told_by_tuning(task: Content, change: Content) -> str:
    """Return in words what a tuning did: kept or lost, or how much more of what was learned is known."""
    figures = numerals.figures_of(task)
    if task["role"] == "forgetting":
        return kept_or_lost(change, figures)
    return f"Changed by {figures.difference(change)} on examples that were learned; no verdict rests on it."


def _own_change(task: Content, contender: Contender) -> OwnChange:
    change, figures = task["by_tuning"][contender.name], numerals.figures_of(task)
    return OwnChange(
        contender,
        figures.value(change["before"]["score"]),
        figures.value(task["scores"][contender.name]["score"]),
        told_by_tuning(task, change),
    )
