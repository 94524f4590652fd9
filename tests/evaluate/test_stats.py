"""Errors and intervals against hand-worked cases, plain loops and simulation."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.stats import estimate_mean, paired_difference

scored_groups = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 5)), min_size=1, max_size=40)


def test_standard_errors_of_a_case_worked_by_hand() -> None:
    # mean 0.5, residuals ±0.5; group sums are +1, -1 and 0
    estimate = estimate_mean([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c"])
    assert estimate.score == 0.5
    assert estimate.standard_error == pytest.approx(math.sqrt(2) / 6)
    assert estimate.naive_standard_error == pytest.approx(math.sqrt(6 * 0.25) / 6)


@given(scored_groups)
def test_the_clustered_error_is_that_of_the_double_sum(rows: list[tuple[float, int]]) -> None:
    """Miller 2024 writes it as a double sum over pairs within a group."""
    values, groups = [row[0] for row in rows], [row[1] for row in rows]
    mean = sum(values) / len(values)
    total = sum(
        (one - mean) * (two - mean)
        for (one, first), (two, second) in product(rows, rows)
        if first == second
    )  # fmt: skip
    estimate = estimate_mean(values, groups)
    if len(set(groups)) == 1:
        assert estimate.standard_error is None
    else:
        assert estimate.standard_error == pytest.approx(math.sqrt(max(total, 0)) / len(rows), abs=1e-7)


@given(scored_groups)
def test_an_interval_holds_the_score_and_stays_in_range(rows: list[tuple[float, int]]) -> None:
    estimate = estimate_mean([row[0] for row in rows], [row[1] for row in rows])
    assert 0 <= estimate.low <= estimate.score <= estimate.high <= 1


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=50))
def test_with_one_answer_a_group_clustering_changes_nothing(values: list[float]) -> None:
    estimate = estimate_mean(values, range(len(values)))
    assert estimate.standard_error == pytest.approx(estimate.naive_standard_error)


def test_copies_of_an_answer_make_nothing_surer() -> None:
    values = [1, 0, 1, 1, 0, 1, 0, 1, 1, 1]
    once = estimate_mean(values, range(10))
    copied = estimate_mean(
        [value for value in values for _ in range(7)], [group for group in range(10) for _ in range(7)]
    )
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.naive_standard_error < copied.standard_error == pytest.approx(once.standard_error)


def test_with_many_groups_the_interval_is_wilsons() -> None:
    # 40 of 100,000: Wilson's own formula with z = 1.959964
    z, n, p = 1.959964, 100_000, 0.0004
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    estimate = estimate_mean([1] * 40 + [0] * (n - 40), range(n))
    assert (estimate.low, estimate.high) == pytest.approx((centre - half, centre + half), rel=1e-4)


@pytest.mark.parametrize("value", [0, 1])
def test_all_right_or_all_wrong_is_as_sure_as_there_are_groups(value: int) -> None:
    few = estimate_mean([value] * 100, [number // 20 for number in range(100)])
    many = estimate_mean([value] * 100, range(100))
    assert few.high - few.low > 0.5
    assert 0.02 < many.high - many.low < 0.05


def test_a_single_group_tells_nothing_of_another() -> None:
    estimate = estimate_mean([1, 1, 0], ["a", "a", "a"])
    assert (estimate.standard_error, estimate.low, estimate.high) == (None, 0, 1)
    difference = paired_difference([0, 0, 0], [1, 1, 1], ["a", "a", "a"], seed=1)
    assert (difference.estimate, difference.low, difference.high) == (1, -1, 1)


def test_no_values_and_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 values"):
        estimate_mean([], [])
    with pytest.raises(ValueError, match="equally many"):
        estimate_mean([1.0, 0.0], ["a"])


def bootstrap_in_loops(differences: list[float], groups: list[int], draws: int) -> tuple[float, float]:
    """Draw whole groups, gather their answers, take the mean: the definition, word for word."""
    chance = random.Random(7)
    names = sorted(set(groups))
    answers = {
        name: [value for value, group in zip(differences, groups, strict=True) if group == name] for name in names
    }
    means = []
    for _ in range(draws):
        gathered = [value for name in chance.choices(names, k=len(names)) for value in answers[name]]
        means.append(sum(gathered) / len(gathered))
    means.sort()
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def test_the_interval_is_that_of_plain_loops() -> None:
    chance = random.Random(3)
    groups = [chance.randrange(40) for _ in range(300)]
    before = [float(chance.random() < 0.4) for _ in groups]
    after = [float(chance.random() < 0.3 + 0.4 * (group % 2)) for group in groups]
    difference = paired_difference(before, after, groups, seed=5)
    low, high = bootstrap_in_loops([b - a for a, b in zip(before, after, strict=True)], groups, 4_000)
    assert difference.low == pytest.approx(low, abs=0.01)
    assert difference.high == pytest.approx(high, abs=0.01)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    chance = random.Random(11)
    held = 0
    for trial in range(200):
        groups, before, after = [], [], []
        for group in range(60):
            likely = chance.random()
            for _ in range(4):
                groups.append(group)
                before.append(float(chance.random() < likely))
                after.append(float(chance.random() < likely))
        difference = paired_difference(before, after, groups, seed=trial, draws=1_000)
        held += difference.low <= 0 <= difference.high
    assert 0.90 <= held / 200 <= 0.99


def test_mcnemar_is_exact() -> None:
    # 1 worse, 5 better: two-sided p = 2 (1 + 6) / 64
    difference = paired_difference([1, 0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1, 1], range(7), seed=0)
    assert (difference.better, difference.worse, difference.unchanged) == (5, 1, 1)
    assert difference.p_mcnemar == pytest.approx(14 / 64)
    assert paired_difference([1, 0], [1, 0], range(2), seed=0).p_mcnemar == 1


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    before, after, groups = [0, 1] * 30, [1, 1, 0] * 20, [number // 3 for number in range(60)]
    first = paired_difference(before, after, groups, seed=1)
    assert first == paired_difference(before, after, groups, seed=1)
    assert first.draws == 10_000 and first.seed == 1
    assert (first.low, first.high) != (paired_difference(before, after, groups, seed=2, draws=500).low, first.high)
