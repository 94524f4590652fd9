"""What the command line prints of a run's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finesight import numerals
from finesight.report.files import Content
from finesight.report.tables import learning_summary
from finesight.report.tasks import PREDICTORS, statement, value_or_missing
from finesight.rundir import MEASURED

if TYPE_CHECKING:
    from rich.table import Table

BASELINES = ("blind", "majority", "majority_by_question_type")
EVALUATED = {
    MEASURED: "Model",
    "blind": "Question alone",
    "majority": "Majority",
    "majority_by_question_type": "By type",
}
"""What `evaluate` measures, in few words, in the order in which it is shown."""


def verdict_lines(verdict: Content) -> list[str]:
    """Return the short lines that end a run: the verdict, each task with its baselines, and every warning."""
    return list(_verdict_lines(verdict))


def comparison_table(comparison: Content) -> Table:
    """Return the table of `finesight compare`: of each shared task both scores, then their paired difference."""
    from rich.text import Text

    table = _table(words=("",), numbers=("Score", "95 % interval", "McNemar p", "Better", "Worse"))
    for task in comparison["tasks"]:
        figures = numerals.figures_of(task)
        size = f"{numerals.plural(task['examples'], 'example')}\n{numerals.plural(task['groups'], 'group')}"
        table.add_row(Text.assemble((task["name"], "bold"), f"\n{task['metric']}\n{size}"))
        for side in ("a", "b"):
            score = task[side]
            table.add_row(
                Text(f"  {comparison[side]}"),
                figures.value(score["score"]),
                Text(figures.interval(score["low"], score["high"])),
            )
        table.add_row(*map(Text, ("  difference", *_difference_cells(task["difference"], figures))))
        table.add_section()
    left_out = comparison.get("left_out", [])
    table.caption = Text(f"In one of the two only: {', '.join(left_out)}.") if left_out else None
    return table


def score_table(task: Content) -> Table:
    """Return the table of `finesight evaluate`: what each predictor scores on a task and on each kind of question."""
    from rich.text import Text

    figures = numerals.figures_of(task)
    shown = [predictor for predictor in EVALUATED if predictor in task["scores"]]
    table = _table(words=(task["name"],), numbers=("Questions", *(EVALUATED[predictor] for predictor in shown)))

    def add_row(name: str, row: Content) -> None:
        scores = [figures.value(row["scores"][predictor]["score"]) for predictor in shown]
        table.add_row(*map(Text, (name, numerals.count(row["examples"]), *scores)))

    add_row("all", task)
    for rows in task["by"].values():
        if len(rows) > 1:
            table.add_section()
            for row in rows:
                add_row(row["value"], row)
    model = task["scores"][MEASURED]
    table.caption = Text(
        f"{task['metric']}, {numerals.plural(task['groups'], 'group')}; the model's 95 % interval is "
        f"{figures.interval(model['low'], model['high'])}"
    )
    return table


def parameter_table(parameters: Content) -> Table:
    """Return the table of `finesight params`: what learns, part by part, for each stage."""
    from rich.text import Text

    stages = parameters["stages"]
    table = _table(words=("Part", "Tuning"), numbers=("Learning rate", "Parameters", "Trainable", "Unreachable"))
    for stage in stages:
        if len(stages) > 1:
            table.add_row(Text(stage["stage"], style="bold"))
        for part in stage["parts"]:
            table.add_row(*map(Text, _part_cells(part)))
        table.add_section()
    named = len(stages) > 1
    summaries = (
        f"{stage['stage']}: {learning_summary(stage)}" if named else learning_summary(stage) for stage in stages
    )
    table.caption = Text("\n".join(summaries))
    return table


def _verdict_lines(verdict: Content) -> Iterator[str]:
    headline = verdict.get("headline", {})
    yield f"Verdict: {headline.get('verdict') or 'none yet'}"
    if headline.get("verdict") == "rehearsal":
        return
    for task in verdict.get("tasks", []):
        scores = task["scores"]
        change = f"{value_or_missing(task, 'before')} → {value_or_missing(task, 'after')}"
        size = f"{numerals.plural(task['examples'], 'question')} in {numerals.plural(task['groups'], 'group')}"
        yield f"  {task['name']}: {change} ({size}). {statement(task)}"
        measured = [each for each in BASELINES if scores.get(each)]
        if measured:
            baselines = (f"{_in_a_line(PREDICTORS[each])} {value_or_missing(task, each)}" for each in measured)
            yield f"    beside it: {', '.join(baselines)}"
    for warning in headline.get("warnings", []):
        yield f"warning: {warning}"


def _part_cells(part: Content) -> tuple[str, ...]:
    rate: float | None = part.get("learning_rate")
    return (
        part["part"],
        part["tuning"],
        numerals.NOT_MEASURED if rate is None else f"{rate:g}",
        *(numerals.count(part[name]) for name in ("total", "trainable", "unreachable")),
    )


def _difference_cells(change: Content, figures: numerals.Figures) -> tuple[str, ...]:
    return (
        figures.change(change["estimate"]),
        figures.interval(change["low"], change["high"]),
        numerals.probability(change["p_mcnemar"]),
        numerals.count(change["better"]),
        numerals.count(change["worse"]),
    )


def _table(words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left", caption_style="")
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _in_a_line(name: str) -> str:
    return name[0].lower() + name[1:]
