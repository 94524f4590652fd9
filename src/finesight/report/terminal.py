"""What the command line prints of a run's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finesight import numerals
from finesight.findings import NOT_FOUND
from finesight.report.changes import write_change
from finesight.report.comparison.roles import told_by_tuning
from finesight.report.files import Content
from finesight.report.tables import learning_summary
from finesight.report.task_rows import value_or_missing
from finesight.report.tasks import statement, taken_over
from finesight.report.words import OUTCOMES, PREDICTORS, ROLES, lower_first, shorten
from finesight.rundir import MEASURED

if TYPE_CHECKING:
    from rich.table import Table

LONGEST_KIND = 40
"""Characters of a kind of question that a table shows."""
WITHOUT_SPREAD = "There is no interval: the groups do not vary."
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
    """Return the table of `finesight compare`: of each shared task every score, and its difference from the first."""
    from rich.text import Text

    table = _table(words=("",), numbers=("Score", "95 % interval", "p (Holm)", "Better", "Worse"))
    for task in comparison["tasks"]:
        figures = numerals.figures_of(task)
        size = f"{numerals.plural(task['examples'], 'example')}\n{numerals.plural(task['groups'], 'group')}"
        role = "" if task["role"] == "held_out" else f"{ROLES[task['role']]}\n"
        table.add_row(Text.assemble((task["name"], "bold"), f"\n{role}{task['metric']}\n{size}"))
        for name, score in task["scores"].items():
            table.add_row(
                Text(f"  {name}"),
                figures.value(score["score"]),
                Text(figures.interval_of(score)),
            )
            if difference := task["differences"].get(name):
                change = write_change(difference, figures)
                cells = (change.estimate, change.interval, change.p_holm, change.better, change.worse)
                table.add_row(*(Text(cell, style="dim") for cell in (f"    minus {difference['from']}", *cells)))
        table.add_section()
    table.caption = Text("\n".join(_comparison_notes(comparison)))
    return table


def records_table(scored: Content) -> Table:
    """Return the table of `finesight score`: the score, what became of each answer, scores by kind of question."""
    from rich.text import Text

    figures, score = numerals.figures_of(scored), scored["score"]
    table = _table(words=(scored["metric"],), numbers=("Answers", "Score", "95 % interval"))

    def add_row(name: str, score: Content) -> None:
        cells = (name, numerals.count(score["counted"]), figures.value(score["score"]))
        table.add_row(*map(Text, (*cells, figures.interval_of(score))))

    add_row("all", score)
    for rows in scored["by"].values():
        table.add_section()
        for row in rows:
            add_row(shorten(row["value"], LONGEST_KIND), row["scores"]["answers"])
    table.add_section()
    for outcome, number in scored["outcomes"].items():
        if number:
            share = numerals.percent(number / score["counted"])
            table.add_row(*map(Text, (OUTCOMES[outcome], numerals.count(number), share)))
    table.caption = Text(numerals.plural(scored["groups"], "group"))
    return table


def how_scored(scored: Content) -> str:
    """Return the metric's rule, how sure the score is with and without regard to groups, and what to know of it."""
    figures, score = numerals.figures_of(scored), scored["score"]
    naive = f"{figures.size(score['naive_standard_error'])} as if all answers were independent"
    clustered = score["standard_error"]
    errors = f"{figures.size(clustered)} by group, {naive}" if clustered is not None else naive
    lines = [f"Standard error: {errors}."]
    if numerals.is_without_spread(score):
        lines.append(WITHOUT_SPREAD)
    lines += [scored["metric_rule"], f"The rule is from: {scored['metric_source']}"]
    if scored["measured_by"]:
        lines.append(f"Measured by: {scored['measured_by']}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in scored["warnings"])])


def _comparison_notes(comparison: Content) -> Iterator[str]:
    for task in comparison["tasks"]:
        figures = numerals.figures_of(task)
        for name, score in task["scores"].items():
            if numerals.is_without_spread(score):
                yield f"{task['name']}, {name}: {lower_first(WITHOUT_SPREAD)}"
        for name, change in task["differences"].items():
            if change["verdict"] == NOT_FOUND and change["smallest_detectable"]:
                yield (
                    f"{task['name']}, {name}: {NOT_FOUND}; one under "
                    f"{figures.size(change['smallest_detectable'])} would mostly have gone unnoticed."
                )
        for name, change in task["by_tuning"].items():
            yield f"{task['name']}, {name} by its own tuning: {told_by_tuning(task, change)}"
        for name, number in task["left_out"].items():
            if number:
                yield f"{task['name']}, {name}: {numerals.plural(number, 'answer')} to other examples left out."
    if comparison["left_out"]:
        yield f"Not answered by all: {', '.join(comparison['left_out'])}."
    yield from (f"warning: {warning}" for warning in comparison["warnings"])


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
                add_row(shorten(row["value"], LONGEST_KIND), row)
    model = task["scores"][MEASURED]
    table.caption = Text(
        f"{task['metric']}, {numerals.plural(task['groups'], 'group')}; the model's 95 % interval is "
        f"{figures.interval_of(model)}\n{taken_over(task)}".rstrip()
    )
    return table


def contender_table(task: Content) -> Table:
    """Return the table of a recipe of captioners: what each contender scores on a task, by each of its metrics."""
    from rich.text import Text

    figures = numerals.figures_of(task)
    beside = [(numerals.figures_of(entry), entry["scores"]) for entry in task["also"]]
    metrics = (task["metric"], "95 % interval", *(entry["metric"] for entry in task["also"]))
    table = _table(words=(task["name"],), numbers=metrics)
    for name, score in task["scores"].items():
        others = (of.value(scores[name]["score"]) for of, scores in beside)
        cells = (figures.value(score["score"]), figures.interval_of(score), *others)
        table.add_row(*map(Text, (EVALUATED.get(name, name), *cells)))
    size = f"{numerals.plural(task['examples'], 'picture')} in {numerals.plural(task['groups'], 'group')}"
    table.caption = Text(f"{size}; `finesight compare` gives the differences with their intervals")
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
            baselines = (f"{lower_first(PREDICTORS[each])} {value_or_missing(task, each)}" for each in measured)
            yield f"    beside it: {', '.join(baselines)}"
        if sentence := taken_over(task):
            yield f"    {sentence}"
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


def _table(words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left", caption_style="")
    for name in words:
        table.add_column(name, overflow="fold")  # what is cut could look like another
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
