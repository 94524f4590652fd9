"""The rows of a task's tables: scores, differences, kinds of wrong, frequent answers, kinds of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finesight import numerals
from finesight.report.changes import Change, write_change
from finesight.report.files import Content
from finesight.report.words import OUTCOMES, PREDICTORS, lower_first, share_of, shorten
from finesight.schema import Record


@dataclass(frozen=True)
class ScoreRow:
    """One predictor's score."""

    predictor: str
    name: str
    right: str
    score: str
    interval: str


@dataclass(frozen=True)
class DifferenceRow:
    """A paired difference between two predictors."""

    name: str
    change: Change


@dataclass(frozen=True)
class OutcomeRow:
    """How many answers were of one kind, before and after."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class AnswerRow:
    """One frequent answer: how often it was right to say it, and how often it was said."""

    answer: str
    references: str
    before: str
    after: str


@dataclass(frozen=True)
class BreakdownTable:
    """Scores by one kind of question or answer."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class BesideRow:
    """A metric that is shown beside the task's own."""

    metric: str
    before: str
    after: str
    change: str


def value_or_missing(task: Content, predictor: str) -> str:
    """Return a predictor's score, or a dash where it was not measured."""
    score = task["scores"].get(predictor)
    return numerals.figures_of(task).value(score["score"]) if score else numerals.NOT_MEASURED


def score_row(task: Content, predictor: str) -> ScoreRow:
    """Return one predictor's score on a task."""
    score = task["scores"][predictor]
    return ScoreRow(
        predictor=predictor,
        name=PREDICTORS[predictor],
        right=_right_of(score, task),
        score=numerals.figures_of(task).value(score["score"]),
        interval=numerals.figures_of(task).interval_of(score),
    )


def _right_of(score: Content, task: Content) -> str:
    """Return how many answers are right of how many; a dash where the metric tells no right from wrong."""
    if not numerals.figures_of(task).percent:
        return numerals.NOT_MEASURED
    return f"{numerals.count(score['right'])} of {numerals.count(score.get('counted', task['examples']))}"


def difference_rows(task: Content) -> Iterator[DifferenceRow]:
    """Yield how the tuned model differs from what it was, and from its best baseline."""
    figures = numerals.figures_of(task)
    for difference in (task.get("difference"), task.get("over_baseline")):
        if difference:
            name = f"{PREDICTORS[difference['to']]} − {lower_first(PREDICTORS[difference['from']])}"
            yield DifferenceRow(name, write_change(difference, figures))


def outcome_rows(task: Content) -> Iterator[OutcomeRow]:
    """Yield each kind of answer that there was, and right and wrong in any case where the metric tells them."""
    outcomes = task.get("outcomes", {})
    told = {outcome for counts in outcomes.values() for outcome, number in counts.items() if number}
    for outcome, name in OUTCOMES.items():
        in_any_case = ("right", "wrong") if numerals.figures_of(task).percent else ()
        if outcome not in in_any_case and outcome not in told:
            continue
        yield OutcomeRow(
            name=name,
            before=_share_of_judged(outcomes.get("before", {}), outcome),
            after=_share_of_judged(outcomes.get("after", {}), outcome),
        )


def _share_of_judged(counts: Mapping[str, int], outcome: str) -> str:
    """Return a kind's share of the answers that were judged: copies of a question are scored with it."""
    return share_of(counts.get(outcome), sum(counts.values()))


def answer_rows(records: Mapping[str, Sequence[Record]], most: int = 4) -> Iterator[AnswerRow]:
    """Yield the answers said or wanted most often: a model that always says the same shows here."""
    before, after = records.get("before", ()), records.get("after", ())
    wanted = Counter(record.references[0].strip() for record in before or after)
    said_before = Counter(record.prediction.strip() for record in before)
    said_after = Counter(record.prediction.strip() for record in after)
    frequent = dict.fromkeys(
        answer for counter in (wanted, said_after, said_before) for answer, _ in counter.most_common(most)
    )
    for answer in sorted(frequent, key=lambda answer: -max(wanted[answer], said_after[answer], said_before[answer])):
        yield AnswerRow(
            answer=shorten(answer, 60) or "(nothing)",
            references=share_of(wanted[answer], len(before or after)),
            before=share_of(said_before[answer] if before else None, len(before)),
            after=share_of(said_after[answer] if after else None, len(after)),
        )


def breakdown(name: str, rows: Sequence[Content], figures: numerals.Figures) -> BreakdownTable:
    """Return the scores of each kind of question, the most frequent first."""
    shown = [predictor for predictor in PREDICTORS if any(row["scores"].get(predictor) for row in rows)]
    return BreakdownTable(
        name=name.replace("_", " "),
        columns=("Questions", *(PREDICTORS[predictor] for predictor in shown)),
        rows=tuple(
            (
                str(row["value"]),
                numerals.count(row["examples"]),
                *(_cell(row["scores"], each, figures) for each in shown),
            )
            for row in sorted(rows, key=lambda row: -row["examples"])
        ),
    )


def _cell(scores: Mapping[str, Any], predictor: str, figures: numerals.Figures) -> str:
    return figures.score(scores[predictor]) if scores.get(predictor) else numerals.NOT_MEASURED


def beside_row(entry: Content) -> BesideRow:
    """Return the scores by another metric, and how they changed."""
    figures = numerals.figures_of(entry)
    before, after = (value_or_missing(entry, predictor) for predictor in ("before", "after"))
    return BesideRow(entry["metric"], before, after, figures.difference(entry["difference"]))
