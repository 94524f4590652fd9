"""What verdict.json says of each task, in the words and rows of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finesight import numerals
from finesight.report.files import Content, RunFiles
from finesight.schema import Record

ALPHA = 0.05
"""As in the verdict: a change has to hold beside those of the other tasks to be told as one."""
PREDICTORS: Mapping[str, str] = {
    "before": "Before tuning",
    "after": "After tuning",
    "blind": "After, question alone",
    "majority": "Majority answer",
    "majority_by_question_type": "Majority by question type",
}
"""Every predictor in the order in which it is shown."""

ROLES: Mapping[str, str] = {
    "held_out": "what the verdict is on",
    "forgetting": "kept or lost",
    "memorization": "examples that were learned",
}
OUTCOMES: Mapping[str, str] = {
    "right": "Right",
    "partly": "Partly right",
    "other_format": "Right answer among other words",
    "other_language": "In another script",
    "unparsed": "No option to be read from it",
    "empty": "No answer at all",
    "cut": "Cut at the token limit",
    "wrong": "Wrong",
}


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
    estimate: str
    interval: str
    p_mcnemar: str
    better: str
    worse: str
    unchanged: str


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
        scores=tuple(_score_row(task, predictor) for predictor in PREDICTORS if scores.get(predictor)),
        differences=tuple(_difference_rows(task)),
        outcomes=tuple(_outcome_rows(task)),
        answers=tuple(_answer_rows(records)),
        breakdowns=tuple(
            _breakdown(name, rows, numerals.figures_of(task)) for name, rows in task.get("by", {}).items() if rows
        ),
        beside=tuple(map(_beside_row, task.get("also", ()))),
        benchmark=_benchmark(task),
    )


def _beside_row(entry: Content) -> BesideRow:
    figures = numerals.figures_of(entry)
    before, after = (value_or_missing(entry, predictor) for predictor in ("before", "after"))
    return BesideRow(entry["metric"], before, after, figures.difference(entry["difference"]))


def _benchmark(task: Content) -> str:
    """Return which benchmark of finesight's the task is, and what the recipe changes of it."""
    benchmark = task.get("benchmark")
    if not benchmark:
        return ""
    changed = ", ".join(benchmark["changed"])
    kept = f"changed by the recipe: {changed}" if changed else "as it comes"
    return f"The benchmark {benchmark['task']}, version {benchmark['version']}, {kept}."


def statement(task: Content) -> str:
    """Return in words what the paired difference between before and after shows."""
    difference = task.get("difference")
    if not difference:
        return "There is no paired difference: the task was not measured both before and after."
    if task["role"] == "forgetting":
        return _kept_or_lost(task)
    figures = numerals.figures_of(task)
    told = figures.difference(difference)
    low, high = figures.gain(difference)
    p_holm = difference.get("p_holm", 0.0)
    if p_holm > ALPHA:
        why = "The interval contains zero" if low <= 0 <= high else f"Beside the other tasks p is {p_holm:.3f} (Holm)"
        told = f"No difference found: {told}. {why}."
    elif low > 0:
        told = f"Better: {told}."
    elif high < 0:
        told = f"Worse: {told}."
    else:
        told = f"No difference found: {told}. The interval contains zero."
    return f"{told} {_beside_best_baseline(task)}".rstrip()


def size(task: Content, records: Sequence[Record]) -> str:
    """Return how much a task was measured on: `451 questions about 63 images`, or in so many groups that are none."""
    questions = numerals.plural(task["examples"], "question")
    # A group may be a patient with several images; where each has one, there are as many images as groups.
    images = {record.thumbnail or record.image for record in records}
    if "" not in images and len(images) == task["groups"]:
        return f"{questions} about {numerals.plural(task['groups'], 'image')}"
    return f"{questions} in {numerals.plural(task['groups'], 'group')}"


def value_or_missing(task: Content, predictor: str) -> str:
    """Return a predictor's score, or a dash where it was not measured."""
    score = task["scores"].get(predictor)
    return numerals.figures_of(task).value(score["score"]) if score else numerals.NOT_MEASURED


def _beside_best_baseline(task: Content) -> str:
    over, figures = task.get("over_baseline"), numerals.figures_of(task)
    if not over or figures.gain(over)[0] > 0:
        return ""
    baseline = _lower_first(PREDICTORS[over["from"]])
    compared = "Worse than" if figures.gain(over)[1] < 0 else "No better than"
    return f"{compared} its best baseline ({baseline}): {figures.difference(over)}."


def _kept_or_lost(task: Content) -> str:
    difference, figures = task["difference"], numerals.figures_of(task)
    low, high = figures.gain(difference)
    told = figures.difference(difference)
    if high < 0:
        return f"Lost: {told}."
    if low > 0:
        return f"Kept, and gained: {told}."
    return f"No loss found: {told}. A loss of up to {figures.size(low)} cannot be ruled out."


def _score_row(task: Content, predictor: str) -> ScoreRow:
    score = task["scores"][predictor]
    return ScoreRow(
        predictor=predictor,
        name=PREDICTORS[predictor],
        right=f"{numerals.count(score['right'])} of {numerals.count(task['examples'])}",
        score=numerals.figures_of(task).value(score["score"]),
        interval=numerals.figures_of(task).interval(score["low"], score["high"]),
    )


def _difference_rows(task: Content) -> Iterator[DifferenceRow]:
    figures = numerals.figures_of(task)
    for difference in (task.get("difference"), task.get("over_baseline")):
        if difference:
            yield DifferenceRow(
                name=f"{PREDICTORS[difference['to']]} − {_lower_first(PREDICTORS[difference['from']])}",
                estimate=figures.change(difference["estimate"]),
                interval=figures.interval(difference["low"], difference["high"]),
                p_mcnemar=numerals.probability(difference["p_mcnemar"]),
                better=numerals.count(difference["better"]),
                worse=numerals.count(difference["worse"]),
                unchanged=numerals.count(difference["unchanged"]),
            )


def _outcome_rows(task: Content) -> Iterator[OutcomeRow]:
    outcomes = task.get("outcomes", {})
    told = {outcome for counts in outcomes.values() for outcome, number in counts.items() if number}
    for outcome, name in OUTCOMES.items():
        if outcome not in ("right", "wrong") and outcome not in told:
            continue
        yield OutcomeRow(
            name=name,
            before=_share_of(outcomes.get("before", {}).get(outcome), task["examples"]),
            after=_share_of(outcomes.get("after", {}).get(outcome), task["examples"]),
        )


def _answer_rows(records: Mapping[str, Sequence[Record]], most: int = 4) -> Iterator[AnswerRow]:
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
            references=_share_of(wanted[answer], len(before or after)),
            before=_share_of(said_before[answer] if before else None, len(before)),
            after=_share_of(said_after[answer] if after else None, len(after)),
        )


def _breakdown(name: str, rows: Sequence[Content], figures: numerals.Figures) -> BreakdownTable:
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


def shorten(text: str, most: int) -> str:
    """Return `text`, cut at `most` characters with a mark where it is longer."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _share_of(part: int | None, whole: int) -> str:
    if part is None or not whole:
        return numerals.NOT_MEASURED
    return f"{numerals.count(part)} ({numerals.percent(part / whole)})"


def _lower_first(words: str) -> str:
    return words[0].lower() + words[1:]
