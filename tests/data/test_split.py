"""Dividing and drawing: by whole groups, always the same for the same seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finesight.data.groups import join_groups
from finesight.data.split import draw, split_groups
from finesight.schema import Example, Turn

SHARES = {"validation": 0.2, "test": 0.1}


def example(number: int, group: str) -> Example:
    return Example(str(number), group, (), (Turn("user", "?"), Turn("assistant", "!", learned=True)), ("!",))


def examples_of(sizes: list[int]) -> list[Example]:
    groups = [f"g{place}" for place, size in enumerate(sizes) for _ in range(size)]
    return [example(number, group) for number, group in enumerate(groups)]


sizes_of_groups = st.lists(st.integers(1, 6), min_size=1, max_size=40)
seeds = st.integers(0, 2**32 - 1)


@given(sizes_of_groups, seeds)
def test_a_split_divides_no_group_and_loses_no_example(sizes: list[int], seed: int) -> None:
    examples = examples_of(sizes)
    sets = split_groups(examples, SHARES, seed)
    assert sorted(one.id for part in sets.values() for one in part) == sorted(one.id for one in examples)
    home = {one.group: name for name, part in sets.items() for one in part}
    assert all(home[one.group] == name for name, part in sets.items() for one in part)
    assert sets["train"]


@given(sizes_of_groups, seeds)
def test_a_split_does_not_depend_on_the_order_of_rows(sizes: list[int], seed: int) -> None:
    examples = examples_of(sizes)
    forward, backward = split_groups(examples, SHARES, seed), split_groups(examples[::-1], SHARES, seed)
    assert all(forward[name] == backward[name][::-1] for name in forward)


@pytest.mark.parametrize(("groups", "validation", "test"), [(100, 20, 10), (20, 4, 2), (3, 1, 1), (2, 1, 0), (1, 0, 0)])
def test_shares_are_of_groups(groups: int, validation: int, test: int) -> None:
    sets = split_groups(examples_of([3] * groups), SHARES, 42)
    assert (len(sets["validation"]), len(sets["test"])) == (3 * validation, 3 * test)


def test_another_seed_gives_another_split() -> None:
    examples = examples_of([1] * 50)
    assert split_groups(examples, SHARES, 1) != split_groups(examples, SHARES, 2)


def test_a_share_of_nothing_is_empty() -> None:
    assert split_groups(examples_of([1] * 10), {"validation": 0.0, "test": 0.1}, 42)["validation"] == []


@given(sizes_of_groups, st.integers(1, 100), seeds)
def test_a_draw_is_exact_and_cuts_one_group_at_most(sizes: list[int], max_samples: int, seed: int) -> None:
    examples = examples_of(sizes)
    drawn = draw(examples, max_samples, seed)
    assert len(drawn) == min(max_samples, len(examples))
    whole, taken = Counter(one.group for one in examples), Counter(one.group for one in drawn)
    assert sum(taken[group] < whole[group] for group in taken) <= 1
    assert drawn == [one for one in examples if one in drawn]
    assert drawn == draw(examples, max_samples, seed)


def test_a_draw_reaches_every_part_of_the_data() -> None:
    drawn = draw(examples_of([1] * 1000), 100, 42)
    numbers = [int(one.id) for one in drawn]
    assert min(numbers) < 100
    assert max(numbers) > 900


KINDS = ("open", "closed", "count")


def kind_of(one: Example) -> str:
    return one.answer_type


def typed(rows: list[tuple[int, list[str]]]) -> list[Example]:
    """Return examples of groups, each given as its number and the answer types of its members."""
    return [
        replace(example(1000 * place + row, f"g{place}"), answer_type=kind)
        for place, kinds in rows
        for row, kind in enumerate(kinds)
    ]


groups_of_kinds = st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5), max_size=40).map(
    lambda groups: typed(list(enumerate(groups)))
)


@given(groups_of_kinds, seeds)
def test_a_stratified_split_keeps_groups_sizes_and_order(examples: list[Example], seed: int) -> None:
    sets, plain = split_groups(examples, SHARES, seed, kind_of), split_groups(examples, SHARES, seed)
    assert sorted(one.id for part in sets.values() for one in part) == sorted(one.id for one in examples)
    for name, part in sets.items():
        assert len({one.group for one in part}) == len({one.group for one in plain[name]})
        assert part == [one for one in examples if one in part]
    home = {one.group: name for name, part in sets.items() for one in part}
    assert all(home[one.group] == name for name, part in sets.items() for one in part)
    backward = split_groups(examples[::-1], SHARES, seed, kind_of)
    assert all(sets[name] == backward[name][::-1] for name in sets)


@given(st.lists(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), min_size=100, max_size=200), seeds)
@settings(max_examples=50)
def test_a_stratified_split_gives_every_set_its_share_of_each_kind(groups: list[list[str]], seed: int) -> None:
    examples = typed(list(enumerate(groups)))
    sets = split_groups(examples, SHARES, seed, kind_of)
    whole = Counter(map(kind_of, examples))
    for part in sets.values():
        there = Counter(map(kind_of, part))
        for kind, total in whole.items():
            if total >= 1 / min(SHARES.values()):
                asked = total * len({one.group for one in part}) / len(groups)
                assert abs(there[kind] - asked) <= 4, (kind, there[kind], asked)


def test_kinds_too_rare_for_every_set_are_not_all_learned() -> None:
    examples = typed([(place, [f"kind {place}", "common"]) for place in range(100)])
    sets = split_groups(examples, SHARES, 42, kind_of)
    assert [len(part) for part in sets.values()] == [140, 40, 20]


class Picture:
    """An image that is known by its hash alone."""

    def __init__(self, content: str) -> None:
        self.name = self._content = content

    def content_hash(self) -> str:
        return self._content * 32


def test_whatever_shares_an_image_becomes_one_group() -> None:
    a, b, c = (Picture(letter) for letter in "abc")
    shown = [("group:p", (a, b)), ("group:q", (b,)), ("image:" + "a" * 24, (a,)), ("group:r", (c,)), ("row:1", ())]
    turns = (Turn("user", "?"), Turn("assistant", "!"))
    joined = join_groups(
        Example(str(number), group, images, turns, ("!",))  # type: ignore[arg-type]
        for number, (group, images) in enumerate(shown)
    )
    assert [one.group for one in joined] == ["group:p", "group:p", "group:p", "group:r", "row:1"]
