"""Which examples make which step: exact sizes, no context too often, every example as often as any other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finesight.errors import UserError
from finesight.models.encoded import Branch, Encoded
from finesight.recipe.train import Train
from finesight.schema import Example, Turn
from finesight.train.checks.steps import idle_settings
from finesight.train.step_plan import Step, deal_rows, examples_in_epoch, plan_steps

IDS = np.array([11, 12, 13], dtype=np.int32)
LABELS = np.array([-100, 12, 13], dtype=np.int32)
PREFIX = np.array([1, 2], dtype=np.int32)


def context(number: int, questions: int, weights: Sequence[float] = (1.0,)) -> Encoded:
    names = [f"{number}.{question}" for question in range(questions)]
    branches = tuple(
        Branch(
            Example(
                name,
                str(number),
                (),
                (Turn("user", "?"), Turn("assistant", "!", learned=True)),
                ("!",),
                weight=weights[question % len(weights)],
            ),
            IDS[: 2 + question % 2],
            LABELS[: 2 + question % 2],
        )
        for question, name in enumerate(names)
    )
    return Encoded(PREFIX, (), branches)


def contexts_of(questions: Sequence[int]) -> list[Encoded]:
    return [context(number, count) for number, count in enumerate(questions)]


def names(step: Step) -> list[str]:
    return [branch.example.id for row in step for branch in row.branches]


questions_of_contexts = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(
    questions=questions_of_contexts,
    size=st.integers(1, 12),
    most=st.integers(1, 6),
    epochs=st.sampled_from([0.3, 1.0, 1.5, 2.0, 3.0]),
    seed=st.integers(0, 5),
)
def test_every_step_has_its_size_and_no_context_too_often(
    questions: list[int], size: int, most: int, epochs: float, seed: int
) -> None:
    assume(sum(min(count, most) for count in questions) >= size)
    train = Train(global_batch_size=size, max_branches_per_context=most, num_train_epochs=epochs)
    steps = plan_steps(contexts_of(questions), train, seed)
    assert len(steps) == math.ceil(sum(questions) * epochs / size)
    for step in steps:
        assert len(names(step)) == len(set(names(step))) == size
        assert all(len(row.branches) <= most for row in step)
        groups = [row.branches[0].example.group for row in step]
        assert len(groups) == len(set(groups)), "the questions of one context share a row"


def times_seen(questions: list[int], train: Train, seed: int) -> Counter[str]:
    seen = Counter(name for step in plan_steps(contexts_of(questions), train, seed) for name in names(step))
    assert 0 <= sum(seen.values()) - train.num_train_epochs * sum(questions) < train.global_batch_size
    return seen


@given(
    questions=st.lists(st.integers(1, 8), min_size=4, max_size=40),
    size=st.integers(1, 16),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_every_example_is_seen_in_every_epoch(questions: list[int], size: int, epochs: int, seed: int) -> None:
    assume(sum(questions) >= 2 * size)
    train = Train(global_batch_size=size, max_branches_per_context=8, num_train_epochs=epochs)
    seen = times_seen(questions, train, seed)
    assert len(seen) == sum(questions)
    assert set(seen.values()) <= {epochs, epochs + 1}


@given(
    questions=st.lists(st.integers(1, 30), min_size=4, max_size=40),
    size=st.integers(1, 16),
    most=st.integers(1, 8),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_a_context_that_needs_several_steps_gets_them_within_the_epoch(
    questions: list[int], size: int, most: int, epochs: int, seed: int
) -> None:
    # Where a context has to be in nearly every step to be through in time, the others must be seen more often.
    assume(max(questions) <= most * (sum(questions) // size) / 2)
    assume(sum(min(count, most) for count in questions) >= 2 * size)
    train = Train(global_batch_size=size, max_branches_per_context=most, num_train_epochs=epochs)
    seen = times_seen(questions, train, seed)
    times = [seen[branch.example.id] for row in contexts_of(questions) for branch in row.branches]
    assert set(times) <= {epochs - 1, epochs, epochs + 1}
    assert sum(count < epochs for count in times) <= most, "but for a chunk that the last step cut off"


@given(
    weights=st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.5]), min_size=1, max_size=3),
    most=st.integers(1, 4),
    seed=st.integers(0, 5),
)
def test_an_example_is_seen_as_often_as_its_weight_says(weights: list[float], most: int, seed: int) -> None:
    # One weight in every context, or several: what questions share does not change how often each is asked.
    contexts = [context(number, 6, weights) for number in range(20)]
    train = Train(global_batch_size=8, max_branches_per_context=most, num_train_epochs=8)
    seen = Counter(name for step in plan_steps(contexts, train, seed) for name in names(step))
    for own in contexts:
        for branch in own.branches:
            assert seen[branch.example.id] == pytest.approx(8 * branch.example.weight, abs=2)
    assert sum(seen.values()) == 8 * math.ceil(examples_in_epoch(contexts))


def test_the_plan_is_the_seeds() -> None:
    contexts = contexts_of([5] * 10)
    train = Train(global_batch_size=8)
    first, again, other = ([names(step) for step in plan_steps(contexts, train, seed)] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_max_steps_goes_before_epochs() -> None:
    train = Train(global_batch_size=4, max_steps=7, num_train_epochs=1)
    assert len(plan_steps(contexts_of([2] * 5), train, 0)) == 7


def test_epochs_differ_in_their_order() -> None:
    train = Train(global_batch_size=10, num_train_epochs=2)
    first, second = plan_steps(contexts_of([1] * 10), train, 0)
    assert sorted(names(first)) == sorted(names(second))
    assert names(first) != names(second)


@pytest.mark.parametrize(("questions", "most", "at_once"), [([50], 8, 8), ([1] * 15, 8, 15), ([3, 20], 5, 8)], ids=str)
def test_too_few_contexts_are_refused_with_what_they_give(questions: list[int], most: int, at_once: int) -> None:
    train = Train(global_batch_size=16, max_branches_per_context=most)
    with pytest.raises(
        UserError, match=rf"a step of 16 examples .*: {len(questions)} contexts .* give {at_once}"
    ) as caught:
        plan_steps(contexts_of(questions), train, 0)
    assert "global_batch_size" in caught.value.hint


def test_one_context_with_most_of_the_questions_is_planned_in_reasonable_time() -> None:
    train = Train(global_batch_size=2, max_branches_per_context=1)
    steps = plan_steps(contexts_of([2000, 1]), train, 0)
    assert len(steps) == 1001
    assert all(len(set(names(step))) == 2 for step in steps)


@given(
    questions=questions_of_contexts,
    ranks=st.integers(1, 4),
    max_tokens=st.integers(1, 60),
)
def test_dealing_a_step_onto_ranks_loses_and_doubles_nothing(questions: list[int], ranks: int, max_tokens: int) -> None:
    step = tuple(contexts_of(questions))
    dealt = deal_rows(step, max_tokens=max_tokens, ranks=ranks)
    assert len(dealt) == ranks
    everywhere = [row for rank in dealt for batch in rank for row in batch]
    assert sorted(names(tuple(everywhere))) == sorted(names(step))
    for rank in dealt:
        for batch in rank:
            assert max(row.tokens for row in batch) * len(batch) <= max_tokens or len(batch) == 1
    loads = [sum(row.tokens for batch in rank for row in batch) for rank in dealt]
    assert max(loads) - min(loads) <= max(row.tokens for row in everywhere)


@pytest.mark.parametrize(
    ("settings", "steps", "idle"),
    [
        ({}, 38, []),
        ({"eval_steps": 38}, 38, []),
        ({"eval_steps": 500}, 38, ["eval_steps 500 never comes"]),
        ({"warmup_steps": 38}, 38, ["warmup_steps 38 leaves no step"]),
        ({"warmup_steps": 0.1}, 1, []),
        ({"early_stopping": {"patience_steps": 1000}}, 38, ["early stopping could first act at step 1,004"]),
        # Validations at 5, 10, … 35: the one after 5 that is 30 steps later is the last that can stop anything.
        ({"eval_steps": 5, "early_stopping": {"patience_steps": 30}}, 38, []),
        (
            {"eval_steps": 5, "early_stopping": {"patience_steps": 31}},
            38,
            ["early stopping could first act at step 40"],
        ),
        ({"eval_steps": 500, "early_stopping": {"patience_steps": 8}}, 38, ["eval_steps 500", "early stopping"]),
    ],
)
def test_settings_that_can_never_act_are_named(settings: dict[str, Any], steps: int, idle: list[str]) -> None:
    found = list(idle_settings(Train.model_validate(settings), steps))
    assert len(found) == len(idle)
    assert all(told.startswith(words) for told, words in zip(found, idle, strict=True))
