"""Where the answers stand in an example's tokens, found without the labels: so a wrong label can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from finesight.models.encoded import Encoded, Tokens
from finesight.models.formatter import Formatter
from finesight.schema import Example


def find_answers(formatter: Formatter, example: Example) -> list[range]:
    """Return the places of each of the assistant's turns, counted in the example's tokens from the context's first.

    A turn begins where the model would be asked for it, and ends where the conversation that ends with it goes on
    otherwise: with what the template puts behind it.
    """
    return list(_find(formatter, example))


def _find(formatter: Formatter, example: Example) -> Iterator[range]:
    whole = row_ids(formatter.encode(example, answered=True))
    for number, turn in enumerate(example.turns, start=1):
        if turn.role == "assistant":
            upto = replace(example, turns=example.turns[:number])
            asked, told = (row_ids(formatter.encode(upto, answered=answered)) for answered in (False, True))
            yield range(_common(asked, whole), _common(told, whole))


def row_ids(single: Encoded) -> Tokens:
    """Return all tokens of an example: int[tokens]."""
    return np.concatenate([single.prefix_ids, *(branch.ids for branch in single.branches)])


def _common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two rows have in common from the first on."""
    shorter = min(len(one), len(other))
    differ = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differ[0]) if len(differ) else shorter
