"""Cards: an example each, its picture beside what was said of it, for a reader's own judgement."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from finesight import numerals
from finesight.report.words import one_line, shorten
from finesight.schema import Record

LONGEST_TEXT = 400
"""Characters of a question or an answer that a card shows."""
LONGEST_NAME = 80
MOST_REFERENCES = 5
Item = TypeVar("Item")


@dataclass(frozen=True)
class Answer:
    """What somebody said, and what became of it."""

    who: str | Markup
    text: str
    length: str
    """How long the whole answer is, where it was cut for the page."""
    mark: str
    """`right`, `partly` or `wrong`: the style sheet sets a shape before the word. Nothing where it was not scored."""
    told: str
    is_cut: bool
    """Whether it ended at the token limit, and `told` does not say so already."""


@dataclass(frozen=True)
class Card:
    """One example with answers to it."""

    id: str
    question: str
    references: tuple[str, ...]
    further_references: int
    kind: str
    """Of answer and question, where the data tell it."""
    answers: tuple[Answer, ...]
    image: str
    """The picture as a data URI, or nothing."""
    image_name: str


def make_card(record: Record, answers: Iterable[Answer], image: str) -> Card:
    """Return the card of a record's example."""
    references = tuple(dict.fromkeys(record.references))
    return Card(
        id=shorten(record.id, LONGEST_NAME),
        question=shorten(one_line(record.question), LONGEST_TEXT),
        references=tuple(shorten(one_line(reference), LONGEST_TEXT) for reference in references[:MOST_REFERENCES]),
        further_references=len(references[MOST_REFERENCES:]),
        kind=shorten(", ".join(filter(None, (record.answer_type, record.question_type))), LONGEST_NAME),
        answers=tuple(answers),
        image=image,
        image_name=shorten(record.image, LONGEST_NAME),
    )


def make_answer(who: str | Markup, record: Record, mark: str, told: str = "", *, is_cut: bool) -> Answer:
    """Return what a record says, short enough for a card."""
    text = one_line(record.prediction)
    length = f"{numerals.count(len(text))} characters" if len(text) > LONGEST_TEXT else ""
    return Answer(who, shorten(text, LONGEST_TEXT), length, mark, told, is_cut)


def shuffle_key(record: Record) -> bytes:
    """Return what records are sorted by where nothing else tells their order: it follows from their ids alone."""
    return hashlib.sha256(record.id.encode("utf-8", "surrogatepass")).digest()


def take_turns(items: Iterable[Item], record_of: Callable[[Item], Record]) -> list[Item]:
    """Return items in their order, but one of each group (an image) before a second of any."""
    seen: Counter[str] = Counter()
    turns = []
    for item in items:
        record = record_of(item)
        group = record.group or record.id
        turns.append((seen[group], item))
        seen[group] += 1
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]
