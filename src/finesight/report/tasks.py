"""What verdict.json says of each task, in the words and rows of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finesight import numerals
from finesight.findings import NOT_FOUND, find
from finesight.report.files import Content, RunFiles
from finesight.report.task_rows import (
    AnswerRow,
    BesideRow,
    BreakdownTable,
    DifferenceRow,
    OutcomeRow,
    ScoreRow,
    answer_rows,
    beside_row,
    breakdown,
    difference_rows,
    outcome_rows,
    score_row,
    value_or_missing,
)
from finesight.report.words import PREDICTORS, ROLES, lower_first
from finesight.schema import Record


@dataclass(frozen=True)
class TaskView:
    """One task as the page shows it."""

    name: str
    role: str
    before: str
    after: str
    statement: str
    size: str
    metric: str
    metric_rule: str
    majority_from: str
    scores: tuple[ScoreRow, ...]
    differences: tuple[DifferenceRow, ...]
    outcomes: tuple[OutcomeRow, ...]
    answers: tuple[AnswerRow, ...]
    breakdowns: tuple[BreakdownTable, ...]
    beside: tuple[BesideRow, ...]
    benchmark: str
    taken_over: str
    """Which answers were not given in this run, and whose they are."""


def view_task(files: RunFiles, task: Content) -> TaskView:
    """Return one task of verdict.json as the page shows it."""
    scores = task["scores"]
    records = files.records.get(task["name"], {})
    return TaskView(
        name=task["name"],
        role=ROLES[task["role"]],
        before=value_or_missing(task, "before"),
        after=value_or_missing(task, "after"),
        statement=statement(task),
        size=size(task, [record for answered in records.values() for record in answered]),
        metric=task["metric"],
        metric_rule=task["metric_rule"],
        majority_from=task.get("majority_from", ""),
        scores=tuple(score_row(task, predictor) for predictor in PREDICTORS if scores.get(predictor)),
        differences=tuple(difference_rows(task)),
        outcomes=tuple(outcome_rows(task)),
        answers=tuple(answer_rows(records)),
        breakdowns=tuple(
            breakdown(name, rows, numerals.figures_of(task)) for name, rows in task.get("by", {}).items() if rows
        ),
        beside=tuple(map(beside_row, task.get("also", ()))),
        benchmark=_benchmark(task),
        taken_over=taken_over(task),
    )


def _benchmark(task: Content) -> str:
    """Return which benchmark of finesight's the task is, and what the recipe changes of it."""
    benchmark = task.get("benchmark")
    if not benchmark:
        return ""
    changed = ", ".join(benchmark["changed"])
    kept = f"changed by the recipe: {changed}" if changed else "as it comes"
    return f"The benchmark {benchmark['task']}, version {benchmark['version']}, {kept}."


def taken_over(task: Content) -> str:
    """Return which answers to a task were taken over from another run, in a sentence; nothing where none were."""
    origins = task.get("taken_over", {})
    return " ".join(
        f"Answers of {predictor} were taken over from {origin['run']} ({origin['predictor']})."
        for predictor, origin in origins.items()
    )


def statement(task: Content) -> str:
    """Return in words what the paired difference between before and after shows."""
    difference = task.get("difference")
    if not difference:
        return "There is no paired difference: the task was not measured both before and after."
    if task["role"] == "forgetting":
        return kept_or_lost(difference, numerals.figures_of(task))
    figures = numerals.figures_of(task)
    found = find(difference, figures)
    why = f" {_why_not(difference, figures)}" if found == NOT_FOUND else ""
    told = f"{found.capitalize()}: {figures.difference(difference)}.{why}"
    return f"{told} {_beside_best_baseline(task)}".rstrip()


def _why_not(difference: Content, figures: numerals.Figures) -> str:
    low, high = figures.gain(difference)
    if low <= 0 <= high:
        return "The interval contains zero."
    return f"Beside the other tasks p is {difference['p_holm']:.3f} (Holm)."


def size(task: Content, records: Sequence[Record]) -> str:
    """Return how much a task was measured on: `451 questions about 63 images`, or in so many groups that are none."""
    questions = numerals.plural(task["examples"], "question")
    # A group may be a patient with several images; where each has one, there are as many images as groups.
    images = {record.thumbnail or record.image for record in records}
    if "" not in images and len(images) == task["groups"]:
        return f"{questions} about {numerals.plural(task['groups'], 'image')}"
    return f"{questions} in {numerals.plural(task['groups'], 'group')}"


def _beside_best_baseline(task: Content) -> str:
    over, figures = task.get("over_baseline"), numerals.figures_of(task)
    if not over or find(over, figures) == "better":
        return ""
    baseline = lower_first(PREDICTORS[over["from"]])
    compared = "Worse than" if find(over, figures) == "worse" else "No better than"
    return f"{compared} its best baseline ({baseline}): {figures.difference(over)}."


def kept_or_lost(difference: Content, figures: numerals.Figures) -> str:
    """Return in words what a difference from before tuning to after it shows of an ability that should be kept."""
    if not difference["better"] and not difference["worse"]:
        return "Kept: every example scores as before."
    low, high = figures.gain(difference)
    told = figures.difference(difference)
    if high < 0:
        return f"Lost: {told}."
    if low > 0:
        return f"Kept, and gained: {told}."
    return f"No loss found: {told}. A loss of up to {figures.size(low)} cannot be ruled out."
