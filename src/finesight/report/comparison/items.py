"""The examples on which the contenders differ most, with every answer side by side."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from markupsafe import Markup

from finesight import numerals
from finesight.report.comparison.marks import Contender
from finesight.report.files import Content
from finesight.report.gallery import LONGEST_TEXT
from finesight.report.tasks import OUTCOMES, shorten
from finesight.report.thumbnails import data_uri
from finesight.schema import Judged

MOST_GROUPS = 8
"""Constellations of which examples are shown; the table before them counts all."""
MOST_COUNTS = 10
"""Constellations that are counted one by one."""
CARDS_A_GROUP = 6
CARDS_OF_MANY = 3
"""Where there are more constellations than two."""


@dataclass(frozen=True)
class Answer:
    """What one contender said, and what became of it."""

    contender: Contender
    text: str
    length: str
    """How long the whole answer is, where it was cut for the page."""
    mark: str
    """`right`, `partly` or `wrong`: the style sheet sets a shape before the word."""
    told: str
    is_cut: bool
    """Whether it ended at the token limit, and what became of it does not say so already."""


@dataclass(frozen=True)
class Card:
    """One example with all answers to it."""

    id: str
    question: str
    references: tuple[str, ...]
    further_references: int
    kind: str
    answers: tuple[Answer, ...]
    image: str
    """The picture as a data URI, or nothing."""
    image_name: str


@dataclass(frozen=True)
class Constellation:
    """The examples on which the same contenders did best: how many there are, and a few to look at."""

    name: Markup
    total: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Items:
    """How often the contenders agree, and where they differ most."""

    differing: int
    examples: int
    counts: tuple[tuple[Markup, str], ...]
    constellations: tuple[Constellation, ...]


@dataclass(frozen=True)
class _Item:
    """An example's answers, one of each contender, in their order."""

    answers: tuple[Judged, ...]
    best: tuple[int, ...]
    """The places of those with the best score."""

    @property
    def disagreement(self) -> float:
        """How far two of the contenders' scores are apart, on average over every two."""
        pairs = list(combinations((answer.score for answer in self.answers), 2))
        return sum(0.0 if one == two else abs(one - two) for one, two in pairs) / len(pairs)

    @property
    def differs(self) -> bool:
        return len(self.best) < len(self.answers)


def differing_items(
    task: Content,
    contenders: Sequence[Contender],
    answers: Mapping[str, Sequence[Judged]],
    folders: Mapping[str, Path],
) -> Items:
    """Return where the contenders differ on a task, the largest differences first.

    `answers` are those of each contender, all in one order; their thumbnails lie in `folders`. Of equal differences the
    choice follows from the examples' ids alone, and takes one of each group (an image) before a second of any.
    """
    items = list(_items(task, contenders, answers))
    differing = [item for item in items if item.differs]
    by_best: dict[tuple[int, ...], list[_Item]] = {}
    for item in differing:
        by_best.setdefault(item.best, []).append(item)
    groups = sorted(by_best.items(), key=lambda group: (-max(each.disagreement for each in group[1]), -len(group[1])))
    most = CARDS_A_GROUP if len(groups) <= 2 else CARDS_OF_MANY
    return Items(
        differing=len(differing),
        examples=len(items),
        counts=tuple(_counts(task, contenders, items)),
        constellations=tuple(
            Constellation(
                _name(task, contenders, best),
                numerals.plural(len(members), "example"),
                tuple(_card(task, contenders, item, folders) for item in _in_turn(members)[:most]),
            )
            for best, members in groups[:MOST_GROUPS]
        ),
    )


def _items(task: Content, contenders: Sequence[Contender], answers: Mapping[str, Sequence[Judged]]) -> Iterator[_Item]:
    """Yield the examples, but for those that the metric gives no score of their own."""
    best_of = max if task["scale"]["higher_is_better"] else min
    for row in zip(*(answers[contender.name] for contender in contenders), strict=True):
        scores = [answer.score for answer in row]
        if not any(map(math.isnan, scores)):
            best = best_of(scores)
            yield _Item(row, tuple(place for place, score in enumerate(scores) if score == best))


def _counts(task: Content, contenders: Sequence[Contender], items: Sequence[_Item]) -> Iterator[tuple[Markup, str]]:
    """Yield how many examples are of each constellation, those on which all agree first."""
    counted = Counter(item.best for item in items if item.differs)
    alike = [item for item in items if not item.differs]
    if task["scale"]["binary"]:
        right = sum(item.answers[0].score == task["scale"]["high"] for item in alike)
        agreed = [(Markup("All right"), right), (Markup("None right"), len(alike) - right)]
    else:
        agreed = [(Markup("All score the same"), len(alike))]
    named = [(_name(task, contenders, best), number) for best, number in counted.most_common(MOST_COUNTS)]
    if others := [number for _, number in counted.most_common()[MOST_COUNTS:]]:
        named.append((Markup("{} more such lines").format(len(others)), sum(others)))
    for name, number in [*agreed, *named]:
        yield name, f"{numerals.count(number)} ({numerals.percent(number / max(1, len(items)))})"


def _name(task: Content, contenders: Sequence[Contender], best: Sequence[int]) -> Markup:
    named = Markup(" and ").join(contenders[place].mark + contenders[place].label for place in best)
    if task["scale"]["binary"]:
        return Markup("Only {} right").format(named)
    return Markup("{} best{}").format(named, ", alike" if len(best) > 1 else "")


def _in_turn(items: Sequence[_Item]) -> list[_Item]:
    """Return the largest differences first, one of each group before a second of any."""
    seen: Counter[str] = Counter()
    turns = []
    for item in sorted(items, key=lambda item: (-item.disagreement, _order(item.answers[0].record.id))):
        record = item.answers[0].record
        group = record.group or record.id
        turns.append((seen[group], item))
        seen[group] += 1
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]


def _order(identity: str) -> bytes:
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()


def _card(task: Content, contenders: Sequence[Contender], item: _Item, folders: Mapping[str, Path]) -> Card:
    record = item.answers[0].record
    references = tuple(dict.fromkeys(record.references))
    pictures = (
        data_uri(folders[contender.name], answer.record.thumbnail)
        for contender, answer in zip(contenders, item.answers, strict=True)
    )
    return Card(
        id=shorten(record.id, 80),
        question=shorten(_one_line(record.question), LONGEST_TEXT),
        references=tuple(shorten(_one_line(reference), LONGEST_TEXT) for reference in references[:5]),
        further_references=len(references[5:]),
        kind=shorten(", ".join(filter(None, (record.answer_type, record.question_type))), 80),
        answers=tuple(
            _answer(task, contender, judged) for contender, judged in zip(contenders, item.answers, strict=True)
        ),
        image=next(filter(None, pictures), ""),
        image_name=shorten(record.image, 80),
    )


def _answer(task: Content, contender: Contender, judged: Judged) -> Answer:
    text = _one_line(judged.record.prediction)
    mark, told = _tell(task, judged)
    return Answer(
        contender=contender,
        text=shorten(text, LONGEST_TEXT),
        length=f"{numerals.count(len(text))} characters" if len(text) > LONGEST_TEXT else "",
        mark=mark,
        told=told,
        is_cut=judged.record.finish_reason == "length" and judged.outcome != "cut",
    )


def _tell(task: Content, judged: Judged) -> tuple[str, str]:
    """Return the mark and the words for what became of an answer; where a metric gives parts, its score beside them."""
    figures = numerals.figures_of(task)
    words = OUTCOMES[judged.outcome].lower() if judged.outcome else ""
    if task["scale"]["binary"]:
        return ("right", words) if judged.outcome == "right" else ("wrong", _with_wrong(judged.outcome, words))
    worst = judged.score == task["scale"]["low"]
    mark = "right" if judged.outcome == "right" else "wrong" if worst else "partly"
    score = figures.value(judged.score if math.isfinite(judged.score) else None)
    return (mark, f"{words}, {score}") if words else ("", score)


def _with_wrong(outcome: str, words: str) -> str:
    return words if outcome == "wrong" else f"wrong: {words}"


def _one_line(text: str) -> str:
    """Return `text` with its line ends shown, so that an answer of many lines takes no page of its own."""
    return " ↵ ".join(line.strip(" ") for line in text.strip(" \n").split("\n"))
