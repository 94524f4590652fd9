"""Mixing: how large a part of an epoch each source is."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.data.mix import mix
from finesight.schema import Example, Turn

TURNS = (Turn("user", "?"), Turn("assistant", "!", learned=True))


def examples_of(sizes: dict[str, int]) -> list[Example]:
    return [
        Example(f"{source}:{number}", f"{source} {number}", (), TURNS, ("!",), source=source)
        for source, size in sizes.items()
        for number in range(size)
    ]


def shares(examples: list[Example]) -> dict[str, float]:
    weights: defaultdict[str, float] = defaultdict(float)
    for example in examples:
        weights[example.source] += example.weight
    return {source: weight / math.fsum(weights.values()) for source, weight in weights.items()}


def test_at_temperature_one_every_example_counts_alike() -> None:
    examples = examples_of({"large": 90, "small": 10})
    assert mix(examples, 1.0) == examples


def test_at_temperature_two_shares_follow_the_square_roots() -> None:
    mixed = shares(mix(examples_of({"large": 81, "small": 9}), 2.0))
    assert mixed == pytest.approx({"large": 0.75, "small": 0.25})


@given(
    sizes=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1),
    temperature=st.floats(1.0, 1000.0),
)
def test_an_epoch_stays_as_long_and_sources_in_their_order(sizes: dict[str, int], temperature: float) -> None:
    examples = examples_of(sizes)
    mixed = mix(examples, temperature)
    assert [example.id for example in mixed] == [example.id for example in examples]
    assert math.fsum(example.weight for example in mixed) == pytest.approx(len(examples))
    by_share, by_size = (sorted(sizes, key=own.__getitem__) for own in (shares(mixed), sizes))
    if len(set(sizes.values())) == len(sizes):
        assert by_share == by_size


def test_a_very_high_temperature_makes_all_sources_alike() -> None:
    mixed = shares(mix(examples_of({"large": 200, "middle": 20, "small": 2}), 1e9))
    assert mixed == pytest.approx({"large": 1 / 3, "middle": 1 / 3, "small": 1 / 3}, rel=1e-6)
