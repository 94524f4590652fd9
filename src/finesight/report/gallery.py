"""Answers to look at: a few that were fixed, broken, and left as they were."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finesight.report.files import Content, RunFiles
from finesight.report.tasks import shorten
from finesight.report.thumbnails import data_uri
from finesight.schema import Record

LONGEST_TEXT = 400
"""Characters of a question or an answer that a card shows."""


@dataclass(frozen=True)
class Kind:
    """One kind of change between before and after."""

    name: str
    explanation: str
    belongs: Callable[[bool, bool], bool]
    cards: int
    """How many are shown of the task that the verdict is on; of the others half as many."""


KINDS = (
    Kind("Fixed", "wrong before, right after", lambda before, after: not before and after, 6),
    Kind("Broken", "right before, wrong after", lambda before, after: before and not after, 6),
    Kind("Still wrong", "wrong before and after", lambda before, after: not before and not after, 6),
    Kind("Still right", "right before and after", lambda before, after: before and after, 3),
)


@dataclass(frozen=True)
class Answer:
    """What one predictor said. `is_right` is None where it was not scored."""

    who: str
    text: str
    is_right: bool | None
    is_cut: bool


@dataclass(frozen=True)
class Card:
    """One question with its answers."""

    id: str
    question: str
    references: str
    kind_of_question: str
    answers: tuple[Answer, ...]
    image_name: str
    image: str
    """The picture as a data URI, or nothing."""


@dataclass(frozen=True)
class Group:
    """The answers of one kind of change: how many there are, and a few to look at."""

    name: str
    explanation: str
    total: int
    cards: tuple[Card, ...]


def gallery(files: RunFiles, task: Content) -> tuple[Group, ...]:
    """Return the kinds of change on a task, each with its count and a few cards.

    Which answers are right is what verdict.json says; nothing is scored again here. The choice depends on nothing but
    the records' ids, and takes one question of each image before a second of any. Returns nothing where the task was
    not answered both before and after.
    """
    records = files.records.get(task["name"], {})
    right = {predictor: frozenset(ids) for predictor, ids in task.get("right_ids", {}).items()}
    if not {"before", "after"} <= records.keys() & right.keys():
        return ()
    answers = {predictor: {record.id: record for record in answered} for predictor, answered in records.items()}
    both = [record for record in records["after"] if record.id in answers["before"]]
    groups = []
    for kind in KINDS:
        members = [each for each in both if kind.belongs(each.id in right["before"], each.id in right["after"])]
        chosen = spread(members, kind.cards if task["role"] == "held_out" else kind.cards // 2)
        cards = tuple(_card(files.path, record, answers, right) for record in chosen)
        groups.append(Group(kind.name, kind.explanation, len(members), cards))
    return tuple(groups)


def spread(records: Iterable[Record], most: int) -> list[Record]:
    """Return at most `most` records, from as many groups as there are, in an order that follows from their ids."""
    by_group: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: _order(record.id)):
        by_group.setdefault(record.group or record.id, []).append(record)
    return list(_take_turns(list(by_group.values())))[:most]


def _take_turns(queues: Sequence[list[Record]]) -> Iterator[Record]:
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _order(identity: str) -> bytes:
    return hashlib.sha256(identity.encode()).digest()


def _card(
    folder: Path, record: Record, answers: Mapping[str, Mapping[str, Record]], right: Mapping[str, frozenset[str]]
) -> Card:
    said = []
    for predictor, who in (("before", "Before"), ("after", "After"), ("blind", "Question alone")):
        if answer := answers.get(predictor, {}).get(record.id):
            is_right = record.id in right[predictor] if predictor in right else None
            text = shorten(answer.prediction.strip(), LONGEST_TEXT)
            said.append(Answer(who, text, is_right, answer.finish_reason == "length"))
    return Card(
        id=record.id,
        question=shorten(record.question, LONGEST_TEXT),
        references=shorten(" · ".join(dict.fromkeys(record.references)), LONGEST_TEXT),
        kind_of_question=", ".join(filter(None, (record.answer_type, record.question_type))),
        answers=tuple(said),
        image_name=record.image,
        image=data_uri(folder, record.thumbnail),
    )
