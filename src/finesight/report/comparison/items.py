"""The examples on which the contenders differ most, with every answer side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from markupsafe import Markup

from finesight import numerals
from finesight.report.cards import Answer, Card, make_answer, make_card, shuffle_key, take_turns
from finesight.report.comparison.marks import Contender
from finesight.report.files import Content
from finesight.report.thumbnails import data_uri
from finesight.report.words import OUTCOMES, share_of
from finesight.schema import Judged, Record

MOST_GROUPS = 8
"""Constellations of which examples are shown; the table before them counts all."""
MOST_COUNTS = 10
"""Constellations that are counted one by one."""
CARDS_A_GROUP = 6
CARDS_OF_MANY = 3
"""Where there are more constellations than two."""


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
    def record(self) -> Record:
        """The first contender's answer, for what all have in common."""
        return self.answers[0].record

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
        yield name, share_of(number, len(items))


def _name(task: Content, contenders: Sequence[Contender], best: Sequence[int]) -> Markup:
    named = Markup(" and ").join(contenders[place].mark + contenders[place].label for place in best)
    if task["scale"]["binary"]:
        return Markup("Only {} right").format(named)
    return Markup("{} best{}").format(named, ", alike" if len(best) > 1 else "")


def _in_turn(items: Sequence[_Item]) -> list[_Item]:
    """Return the largest differences first, one of each group before a second of any."""
    largest_first = sorted(items, key=lambda item: (-item.disagreement, shuffle_key(item.record)))
    return take_turns(largest_first, lambda item: item.record)


def _card(task: Content, contenders: Sequence[Contender], item: _Item, folders: Mapping[str, Path]) -> Card:
    answered = list(zip(contenders, item.answers, strict=True))
    pictures = (data_uri(folders[contender.name], judged.record.thumbnail) for contender, judged in answered)
    answers = (_answer(task, contender, judged) for contender, judged in answered)
    return make_card(item.record, answers, next(filter(None, pictures), ""))


def _answer(task: Content, contender: Contender, judged: Judged) -> Answer:
    mark, told = _tell(task, judged)
    is_cut = judged.record.finish_reason == "length" and judged.outcome != "cut"
    return make_answer(contender.mark + contender.label, judged.record, mark, told, is_cut=is_cut)


def _tell(task: Content, judged: Judged) -> tuple[str, str]:
    """Return the mark and the words for what became of an answer; where a metric gives parts, its score beside them."""
    figures = numerals.figures_of(task)
    words = OUTCOMES[judged.outcome].lower() if judged.outcome not in ("", "written") else ""
    if task["scale"]["binary"]:
        return ("right", words) if judged.outcome == "right" else ("wrong", _with_wrong(judged.outcome, words))
    worst = judged.score == task["scale"]["low"]
    mark = "right" if judged.outcome == "right" else "wrong" if worst else "partly"
    if not figures.percent:
        mark = ""
    score = figures.value(judged.score if math.isfinite(judged.score) else None)
    return mark, f"{words}, {score}" if words else score


def _with_wrong(outcome: str, words: str) -> str:
    return words if outcome == "wrong" else f"wrong: {words}"
