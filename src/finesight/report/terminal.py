"""What the command line prints of a run's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finesight.report import numerals
from finesight.report.files import Content
from finesight.report.tables import learning_summary
from finesight.report.tasks import PREDICTORS, percent_or_missing, statement

if TYPE_CHECKING:
    from rich.table import Table

BASELINES = ("blind", "majority", "majority_by_question_type")


def verdict_lines(verdict: Content) -> list[str]:
    """Return the short lines that end a run: the verdict, each task with its baselines, and every warning."""
    return list(_verdict_lines(verdict))


def comparison_table(comparison: Content) -> Table:
    """Return the table of `finesight compare`: both scores and the paired difference of each shared task."""
    from rich.text import Text

    first, second = str(comparison["a"]), str(comparison["b"])
    table = _table("Task", "Metric", words=("Task", "Metric"))
    for name in ("Examples", "Groups", first, second, "Difference", "McNemar p", "Better", "Worse"):
        table.add_column(Text(name), justify="right")
    for task in comparison["tasks"]:
        change = task["difference"]
        cells = (
            task["name"],
            task["metric"],
            numerals.count(task["examples"]),
            numerals.count(task["groups"]),
            numerals.score(task["a"]),
            numerals.score(task["b"]),
            numerals.difference(change),
            numerals.probability(change["p_mcnemar"]),
            numerals.count(change["better"]),
            numerals.count(change["worse"]),
        )
        table.add_row(*map(Text, cells))
    caption = "Brackets hold 95 % intervals."
    if left_out := comparison.get("left_out"):
        caption += f" Left out, being in one of the two only: {', '.join(left_out)}."
    table.caption = Text(caption)
    return table


def parameter_table(parameters: Content) -> Table:
    """Return the table of `finesight params`: what learns, part by part, for each stage."""
    from rich.text import Text

    stages = parameters["stages"]
    table = _table("Stage", "Part", "Tuning", words=("Stage", "Part", "Tuning"))
    for name in ("Learning rate", "Parameters", "Trainable", "Of these adapters", "Unreachable"):
        table.add_column(name, justify="right")
    for stage in stages:
        for part in stage["parts"]:
            table.add_row(Text(stage["stage"]), *map(Text, _part_cells(part)))
        table.add_section()
    summaries = (f"{stage['stage']}: {learning_summary(stage)}" for stage in stages)
    table.caption = Text("\n".join(summaries))
    return table


def _verdict_lines(verdict: Content) -> Iterator[str]:
    headline = verdict.get("headline", {})
    yield f"Verdict: {headline.get('verdict') or 'none yet'}"
    for task in verdict.get("tasks", []):
        scores = task["scores"]
        change = f"{percent_or_missing(scores, 'before')} → {percent_or_missing(scores, 'after')}"
        size = f"{numerals.plural(task['examples'], 'question')} in {numerals.plural(task['groups'], 'group')}"
        yield f"  {task['name']}: {change} ({size}). {statement(task)}"
        measured = [each for each in BASELINES if scores.get(each)]
        if measured:
            baselines = (
                f"{_in_a_line(PREDICTORS[each])} {numerals.percent(scores[each]['score'])}" for each in measured
            )
            yield f"    beside it: {', '.join(baselines)}"
    for warning in headline.get("warnings", []):
        yield f"warning: {warning}"


def _part_cells(part: Content) -> tuple[str, ...]:
    rate: float | None = part.get("learning_rate")
    return (
        part["part"],
        part["tuning"],
        numerals.NOT_MEASURED if rate is None else f"{rate:g}",
        *(numerals.count(part[name]) for name in ("total", "trainable", "adapters", "unreachable")),
    )


def _table(*names: str, words: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption_style="")
    for name in names:
        table.add_column(name, justify="left" if name in words else "right")
    return table


def _in_a_line(name: str) -> str:
    return name[0].lower() + name[1:]
