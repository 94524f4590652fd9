"""Sharing what branches begin with, and halving a batch: nothing is lost, and nothing learned leaves its branch."""

from __future__ import annotations

import numpy as np
import pytest

from finesight.branches.contexts import halve_batch, join_beginnings, padded_tokens
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example, Turn

PREFIX = np.array([1, 2], dtype=np.int32)


def branch(question: list[int], answer: list[int]) -> Branch:
    ids = np.array([*question, *answer], dtype=np.int32)
    labels = np.array([UNLEARNED] * len(question) + answer, dtype=np.int32)
    name = str(ids.tolist())
    return Branch(Example(name, name, (), (Turn("user", "?"), Turn("assistant", "!")), ()), ids, labels)


def context(*branches: Branch) -> Encoded:
    return Encoded(PREFIX, (), branches)


@pytest.mark.parametrize(
    ("branches", "joined"),
    [
        ([branch([5, 6, 7], [8]), branch([5, 6, 7], [9, 8])], 2),
        ([branch([5, 6, 7], [8, 1]), branch([5, 6, 7], [8, 2])], 2),  # of the answers nothing, though they begin alike
        ([branch([5, 6, 7], [8]), branch([5, 4, 7], [8])], 1),
        ([branch([4, 6, 7], [8]), branch([5, 6, 7], [8])], 0),
        ([branch([5], [8]), branch([5, 6, 7], [9])], 0),
        ([branch([5, 6], [8]), branch([5, 6, 7, 4], [9])], 1),
        ([branch([5, 6, 7], [8])], 0),  # nothing is shared
    ],
)
def test_what_all_branches_begin_with_is_computed_once(branches: list[Branch], joined: int) -> None:
    before = context(*branches)
    after = join_beginnings(before)
    assert len(after.prefix_ids) == len(PREFIX) + joined
    assert after.tokens == before.tokens - joined * (len(branches) - 1)
    for old, new in zip(before.branches, after.branches, strict=True):
        assert [*after.prefix_ids, *new.ids] == [*before.prefix_ids, *old.ids]
        assert new.labels[0] == UNLEARNED
        assert new.learned_tokens == old.learned_tokens
        assert new.example == old.example


def test_a_batch_is_halved_by_rows_and_a_row_by_branches() -> None:
    one, two, three = (context(branch([5, number], [8])) for number in (1, 2, 3))
    assert halve_batch([one, two, three]) == ([one, two], [three])
    first, second, third = (branch([5], [number]) for number in (1, 2, 3))
    halves = halve_batch([context(first, second, third)])
    assert halves is not None
    assert [[row.branches for row in half] for half in halves] == [[(first, second)], [(third,)]]
    assert halve_batch([one]) is None


def test_padding_and_room_for_answers_count() -> None:
    short, long = context(branch([5], [8])), context(branch([5], [8]), branch([6], [8]))
    assert (short.tokens, long.tokens) == (4, 6)
    assert padded_tokens([short, long]) == 12
    assert padded_tokens([short, long], reserve=10) == 52
