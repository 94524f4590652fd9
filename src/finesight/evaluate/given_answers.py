"""Answers that somebody has given already, made sure to be to the very examples of a task."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from finesight.errors import UserError
from finesight.evaluate.contenders import Contender
from finesight.evaluate.score import name_ids
from finesight.evaluate.stored_answers import StoredAnswers
from finesight.numerals import count
from finesight.schema import Prediction, Record, TaskExamples


@dataclass(frozen=True)
class Given:
    """The answers to a task's examples."""

    predictor: StoredAnswers
    remarks: tuple[str, ...]
    """What a reader of the scores should know: which examples had no answer, and which answers no example."""


def match_answers(contender: Contender, task: TaskExamples, *, missing: Literal["refuse", "empty"]) -> Given:
    """Return a contender's answers to the examples of a task, found by their ids.

    With `missing="empty"` an example without an answer gets an empty one. Raises `UserError` where one has none
    otherwise, where none has any, where an id was answered twice, and where an answer was to other right answers.
    """
    asked = {example.id: example for example in task.examples}
    records = _records(contender, task.name)
    own = [record for record in records if record.id in asked]
    unasked = [record.id for record in records if record.id not in asked]
    answered = {record.id for record in own}
    unanswered = [identity for identity in asked if identity not in answered]
    _require_sound(contender, own, task)
    if unanswered and (missing == "refuse" or not own):
        raise UserError(
            f"{contender.name}: {count(len(unanswered))} of {count(len(asked))} examples of the task {task.name} have "
            f"no answer in {contender.path}: {name_ids(unanswered)}",
            hint="`missing: empty` counts each as an empty answer" if own else "are the ids those of the same data?",
        )
    stored = StoredAnswers.of(own)
    remarks = []
    if unanswered:
        remarks.append(
            f"{contender.name}: {name_ids(unanswered)} of the {count(len(asked))} of {task.name} had no answer, and "
            "count as empty answers"
        )
    if unasked:
        remarks.append(f"{contender.name}: {name_ids(unasked)} not among the examples of {task.name} left out")
    return Given(
        StoredAnswers({**stored.predictions, **{identity: Prediction(identity, "") for identity in unanswered}}),
        tuple(remarks),
    )


def _records(contender: Contender, task: str) -> list[Record]:
    records = contender.records(task)
    if not records:
        answered = ", ".join(contender.metrics) or "nothing yet"
        raise UserError(
            f"{contender.name}: {contender.path} has no answers of {contender.predictor} to a task {task}",
            hint=f"it has {answered}; a predictions file answers a task of any name: "
            f"{contender.path / 'evaluation' / contender.predictor / 'TASK.jsonl'}",
        )
    return records


def _require_sound(contender: Contender, own: list[Record], task: TaskExamples) -> None:
    twice = [identity for identity, number in Counter(record.id for record in own).items() if number > 1]
    if twice:
        raise UserError(
            f"{contender.name}: {name_ids(twice)} of the task {task.name} more than once in {contender.path}",
            hint="each example is answered once",
        )
    right = {example.id: sorted(example.references) for example in task.examples}
    if other := [record.id for record in own if sorted(record.references) != right[record.id]]:
        raise UserError(
            f"{contender.name}: {name_ids(other)} with other references in {contender.path} than in the task "
            f"{task.name}",
            hint="the same id names different questions; give answers to the same data",
        )
