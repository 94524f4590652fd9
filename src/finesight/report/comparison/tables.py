"""The tables of the comparison page: scores and differences of each task, by kind of question, by kind of answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from finesight import numerals
from finesight.report.changes import Change, write_change
from finesight.report.comparison.axis import Axis, difference_axis, score_axis
from finesight.report.comparison.headline import FOUND, told
from finesight.report.comparison.marks import Contender
from finesight.report.comparison.strips import draw_difference, draw_score
from finesight.report.files import Content
from finesight.report.words import OUTCOMES, share_of, shorten

MOST_KINDS = 8
"""Kinds of question that are drawn; the others follow, folded away."""
LONGEST_KIND = 80
"""Characters of a kind's name."""


@dataclass(frozen=True)
class ScoreRow:
    """One contender's score, in figures and drawn."""

    contender: Contender
    score: str
    interval: str
    drawing: Markup


@dataclass(frozen=True)
class ScoreTable:
    """Scores on one scale, whose ends are printed."""

    title: str
    """Empty, or what the rows have in common: a kind of question, a metric."""
    size: str
    ends: tuple[str, str]
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """How much one contender differs from the first, in figures, drawn and in words."""

    contender: Contender
    change: Change
    drawing: Markup
    verdict: str
    """`better`, `worse` or `none`: the style sheet sets a shape before the words."""
    found: str


@dataclass(frozen=True)
class DifferenceTable:
    """Differences from the first contender on one scale."""

    ends: tuple[str, str]
    rows: tuple[DifferenceRow, ...]


@dataclass(frozen=True)
class BesideTable:
    """Scores and differences by a metric that no verdict rests on."""

    metric: str
    rule: str
    scores: ScoreTable
    changes: tuple[str, ...]
    """Beside each score its difference from the first, with interval."""


@dataclass(frozen=True)
class Breakdown:
    """Scores for each kind of answer or question."""

    name: str
    shown: tuple[ScoreTable, ...]
    folded: tuple[ScoreTable, ...]


@dataclass(frozen=True)
class OutcomeRow:
    """How many answers of each contender were of one kind."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class TaskView:
    """One task as the page shows it."""

    name: str
    size: str
    metric: str
    metric_rule: str
    reading: str
    """How its tables are to be read."""
    scores: ScoreTable
    differences: DifferenceTable
    beside: tuple[BesideTable, ...]
    beside_left_out: tuple[tuple[str, str], ...]
    breakdowns: tuple[Breakdown, ...]
    outcomes: tuple[OutcomeRow, ...]


def view_task(task: Content, contenders: Sequence[Contender]) -> TaskView:
    """Return a task of the detailed comparison as the page shows it."""
    return TaskView(
        name=task["name"],
        size=_size(task),
        metric=task["metric"],
        metric_rule=task["metric_rule"],
        reading=_reading(task["scale"]),
        scores=_score_table("", _size(task), task, task["scores"], contenders),
        differences=_difference_table(task, contenders[1:]),
        beside=tuple(_beside(entry, contenders) for entry in task["also"]),
        beside_left_out=tuple(task["also_left_out"].items()),
        breakdowns=tuple(_breakdown(task, name, rows, contenders) for name, rows in task["by"].items()),
        outcomes=tuple(_outcome_rows(task, contenders)),
    )


def _reading(scale: Content) -> str:
    sentences = ["Better and worse count examples."]
    if not scale["higher_is_better"]:
        sentences.insert(0, "Less is better.")
    if scale["binary"]:
        sentences.append("McNemar's test is exact and knows nothing of groups.")
    return " ".join(sentences)


def _size(of: Content) -> str:
    return f"{numerals.plural(of['examples'], 'example')} in {numerals.plural(of['groups'], 'group')}"


def _score_table(
    title: str, size: str, of: Content, scores: Content, contenders: Sequence[Contender], axis: Axis | None = None
) -> ScoreTable:
    """Return `scores` by what `of` says of the metric, on `axis` or on a scale of their own."""
    axis = axis or score_axis(of, scores.values())
    rows = []
    for contender in contenders:
        score = scores[contender.name]
        rows.append(
            ScoreRow(
                contender=contender,
                score=axis.figures.value(score["score"]),
                interval=axis.figures.interval_of(score),
                drawing=draw_score(contender, score, axis),
            )
        )
    return ScoreTable(title, size, axis.ends, tuple(rows))


def _difference_table(task: Content, others: Sequence[Contender]) -> DifferenceTable:
    axis = difference_axis(task, task["differences"].values())
    return DifferenceTable(
        axis.ends, tuple(_difference_row(other, task["differences"][other.name], axis) for other in others)
    )


def _difference_row(contender: Contender, change: Content, axis: Axis) -> DifferenceRow:
    return DifferenceRow(
        contender=contender,
        change=write_change(change, axis.figures),
        drawing=draw_difference(contender, change, axis),
        verdict=change["verdict"] if change["verdict"] in FOUND else "none",
        found=told(change, axis.figures).capitalize(),
    )


def _beside(entry: Content, contenders: Sequence[Contender]) -> BesideTable:
    figures = numerals.figures_of(entry)
    scores = _score_table(entry["metric"], "", entry, entry["scores"], contenders)
    changes = ("", *(figures.difference(entry["differences"][other.name]) for other in contenders[1:]))
    return BesideTable(entry["metric"], entry["metric_rule"], scores, changes)


def _breakdown(task: Content, name: str, kinds: Sequence[Content], contenders: Sequence[Contender]) -> Breakdown:
    """Return the scores of each kind, all on one scale."""
    axis = score_axis(task, (score for kind in kinds for score in kind["scores"].values()))
    tables = tuple(
        _score_table(shorten(kind["value"], LONGEST_KIND), _size(kind), task, kind["scores"], contenders, axis)
        for kind in kinds
    )
    return Breakdown(name.replace("_", " "), tables[:MOST_KINDS], tables[MOST_KINDS:])


def _outcome_rows(task: Content, contenders: Sequence[Contender]) -> Iterable[OutcomeRow]:
    counted = [task["outcomes"][each.name] for each in contenders if each.name in task["outcomes"]]
    for outcome, name in OUTCOMES.items():
        if any(counts[outcome] for counts in counted):
            yield OutcomeRow(name, tuple(share_of(counts[outcome], sum(counts.values())) for counts in counted))
