"""A question about a scene, and how questions of several types take turns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene, with its only right answer."""

    question_type: str
    text: str
    answer: str
    options: tuple[str, ...] = ()
    """What the letters of a question with a choice stand for."""
    said_before: tuple[tuple[str, str], ...] = ()
    """Questions and answers that came before it in a dialogue."""


def take_turns(waiting: Mapping[str, Sequence[Question]], count: int, random: Random) -> list[Question]:
    """Return `count` questions, fewer where there are not so many: a type after another, beginning anywhere."""
    types = list(waiting.values())
    start = random.randrange(len(types))
    rounds = itertools.zip_longest(*types[start:], *types[:start])
    return list(itertools.islice((question for turn in rounds for question in turn if question), count))


def by_count(counted: Iterable[tuple[str, int]], random: Random) -> list[tuple[str, int]]:
    """Return texts with their counts in an order in which every count has its turn, so that none is the usual one."""
    piles: dict[int, list[tuple[str, int]]] = {}
    for text, count in counted:
        piles.setdefault(count, []).append((text, count))
    for pile in piles.values():
        random.shuffle(pile)
    order = random.sample(sorted(piles), len(piles))
    rounds = itertools.zip_longest(*(piles[count] for count in order))
    return [entry for turn in rounds for entry in turn if entry]
