"""Answers to look at: a few that were fixed, broken, and left as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from finesight import numerals
from finesight.report.cards import Card, make_answer, make_card, shuffle_key, take_turns
from finesight.report.files import Content, RunFiles
from finesight.report.thumbnails import data_uri
from finesight.schema import Record

WHO = {"before": "Before", "after": "After", "blind": "Question alone"}
"""Whose answers a card shows."""


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

NOT_JUDGED = Kind("Examples", "before and after; the metric tells no right from wrong", lambda _before, _after: True, 6)
"""Where scores are no share of right answers."""


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
    judges = numerals.figures_of(task).percent
    if not {"before", "after"} <= records.keys() & right.keys():
        return ()
    answers = {predictor: {record.id: record for record in answered} for predictor, answered in records.items()}
    both = [record for record in records["after"] if record.id in answers["before"]]
    groups = []
    for kind in KINDS if judges else (NOT_JUDGED,):
        members = [each for each in both if kind.belongs(each.id in right["before"], each.id in right["after"])]
        chosen = spread(members, kind.cards if task["role"] == "held_out" else kind.cards // 2)
        cards = tuple(_card(files.path, record, answers, right if judges else {}) for record in chosen)
        groups.append(Group(kind.name, kind.explanation, len(members), cards))
    return tuple(groups)


def spread(records: Iterable[Record], most: int) -> list[Record]:
    """Return at most `most` records, from as many groups as there are, in an order that follows from their ids."""
    return take_turns(sorted(records, key=shuffle_key), lambda record: record)[:most]


def _card(
    folder: Path, record: Record, answers: Mapping[str, Mapping[str, Record]], right: Mapping[str, frozenset[str]]
) -> Card:
    said = []
    for predictor, who in WHO.items():
        if answer := answers.get(predictor, {}).get(record.id):
            mark = ("right" if record.id in right[predictor] else "wrong") if predictor in right else ""
            said.append(make_answer(who, answer, mark, is_cut=answer.finish_reason == "length"))
    return make_card(record, said, data_uri(folder, record.thumbnail))
