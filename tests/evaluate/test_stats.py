"""Errors and intervals against hand-worked cases, plain loops and simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterable, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.metrics.metric import OPEN_SCORE, UNIT_SCORE, Measured, Scale, Values, measure_mean
from finesight.evaluate.stats import Difference, Estimate, adjust_holm, estimate, paired_difference


def estimate_mean(values: Sequence[float], groups: Iterable[Hashable]) -> Estimate:
    """Return the estimate of a mean."""
    return estimate(measure_mean(values), list(groups))


def difference_of(
    first: Sequence[float], second: Sequence[float], groups: Iterable[Hashable], seed: int, draws: int = 10_000
) -> Difference:
    """Return the difference of two means."""
    return paired_difference(measure_mean(first), measure_mean(second), list(groups), seed, draws=draws)


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


def test_parts_of_marks_are_as_sure_as_their_standard_error() -> None:
    """The mean of scores that vary little is known far better than that of as many right or wrong answers."""
    chance = random.Random(5)
    values = [0.4 + 0.2 * chance.random() for _ in range(400)]
    sure = estimate(measure_mean(values), range(400), UNIT_SCORE)
    assert sure.standard_error is not None
    assert sure.high - sure.low == pytest.approx(2 * 1.966 * sure.standard_error, rel=0.01)


def test_the_interval_of_parts_of_marks_holds_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(17)
    groups = np.repeat(np.arange(60), 3)
    held = 0
    for _ in range(400):
        of_group = generator.beta(2, 3, size=60)
        values = 0.7 * np.repeat(of_group, 3) + 0.3 * generator.beta(2, 3, size=180)
        sure = estimate(measure_mean(values), groups.tolist(), UNIT_SCORE)
        held += sure.low <= 2 / 5 <= sure.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize("value", [0, 1])
def test_all_right_or_all_wrong_is_as_sure_as_there_are_groups(value: int) -> None:
    few = estimate_mean([value] * 100, [number // 20 for number in range(100)])
    many = estimate_mean([value] * 100, range(100))
    assert few.high - few.low > 0.5
    assert 0.02 < many.high - many.low < 0.05


def test_a_single_group_tells_nothing_of_another() -> None:
    estimate = estimate_mean([1, 1, 0], ["a", "a", "a"])
    assert (estimate.standard_error, estimate.low, estimate.high) == (None, 0, 1)
    difference = difference_of([0, 0, 0], [1, 1, 1], ["a", "a", "a"], seed=1)
    assert (difference.estimate, difference.low, difference.high) == (1, -1, 1)


def test_no_values_and_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="0 values of 0"):
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
    difference = difference_of(before, after, groups, seed=5)
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
        difference = difference_of(before, after, groups, seed=trial, draws=1_000)
        held += difference.low <= 0 <= difference.high
    assert 0.90 <= held / 200 <= 0.99


def test_mcnemar_is_exact() -> None:
    # 1 worse, 5 better: two-sided p = 2 (1 + 6) / 64
    difference = difference_of([1, 0, 0, 0, 0, 0, 1], [0, 1, 1, 1, 1, 1, 1], range(7), seed=0)
    assert (difference.better, difference.worse, difference.unchanged) == (5, 1, 1)
    assert difference.p_mcnemar == pytest.approx(14 / 64)
    assert difference_of([1, 0], [1, 0], range(2), seed=0).p_mcnemar == 1


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    before, after, groups = [0, 1] * 30, [1, 1, 0] * 20, [number // 3 for number in range(60)]
    first = difference_of(before, after, groups, seed=1)
    assert first == difference_of(before, after, groups, seed=1)
    assert first.draws == 10_000 and first.seed == 1
    assert (first.low, first.high) != (difference_of(before, after, groups, seed=2, draws=500).low, first.high)


def corpus_ratio(pairs: Sequence[tuple[float, float]]) -> Measured:
    """Return a score that is the logarithm of a ratio of sums: no mean of its items."""

    def combine(sums: Values) -> Values:
        return np.asarray(np.log(sums[..., 0] / sums[..., 1]))

    statistics = np.array(pairs)
    return Measured(combine(statistics), statistics, combine)


def test_a_score_that_is_no_mean_is_that_of_the_sums_and_its_error_the_jackknifes() -> None:
    pairs = [(3.0, 1.0), (5.0, 2.0), (4.0, 4.0), (9.0, 2.0)]
    found = estimate(corpus_ratio(pairs), ["a", "b", "c", "d"], OPEN_SCORE)
    assert found.score == pytest.approx(math.log(21 / 9))
    left_out = [math.log((21 - one) / (9 - two)) for one, two in pairs]
    mean = sum(left_out) / 4
    by_hand = math.sqrt(3 / 4 * sum((value - mean) ** 2 for value in left_out))
    assert found.standard_error == pytest.approx(by_hand) == found.naive_standard_error
    clustered = estimate(corpus_ratio(pairs * 5), ["a", "b", "c", "d"] * 5, OPEN_SCORE)
    assert clustered.standard_error == pytest.approx(by_hand)
    assert clustered.naive_standard_error < by_hand


def test_the_difference_of_scores_that_are_no_means_is_drawn_from_sums() -> None:
    chance = random.Random(2)
    first = [(chance.uniform(1, 3), 1.0) for _ in range(200)]
    second = [(2 * one, two) for one, two in first]
    difference = paired_difference(corpus_ratio(first), corpus_ratio(second), range(200), 1, scale=OPEN_SCORE)
    assert (difference.low, difference.high) == pytest.approx((math.log(2), math.log(2)))
    assert difference.p_mcnemar is None
    assert difference.better == 200


def test_where_lower_is_better_a_lower_score_is_a_gain() -> None:
    lower = Scale(low=1, high=math.inf, percent=False, higher_is_better=False, binary=False)
    difference = paired_difference(measure_mean([3, 2, 4]), measure_mean([2, 2, 5]), range(3), 1, scale=lower)
    assert (difference.better, difference.worse, difference.unchanged) == (1, 1, 1)


def test_what_has_no_score_of_its_own_does_not_count() -> None:
    found = estimate(measure_mean([1, math.nan, 0, math.nan]), [1, 1, 2, 2])
    assert found.score == 0.5
    assert found.naive_standard_error == pytest.approx(math.sqrt(0.5) / 2)
    difference = difference_of([1, math.nan, 0], [1, math.nan, 1], range(3), 1, draws=100)
    assert (difference.better, difference.worse, difference.unchanged) == (1, 0, 1)


def test_the_smallest_detectable_difference_is_found_four_times_out_of_five() -> None:
    chance = np.random.default_rng(4)
    noise = chance.normal(size=(300, 100))
    detectable = difference_of([0.0] * 100, list(noise[0]), range(100), 1, draws=2_000).smallest_detectable
    assert detectable is not None
    expected = 2.8 * float(noise[0].std()) / 10
    assert detectable == pytest.approx(expected, rel=0.05)
    moved = noise / noise.std(axis=1, keepdims=True) * noise[0].std() + detectable
    found = [difference_of([0.0] * 100, list(row), range(100), 1, draws=400).low > 0 for row in moved]
    assert 0.72 <= sum(found) / len(found) <= 0.88


def test_holms_correction_by_hand() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert adjust_holm([0.02]) == [0.02]
    assert adjust_holm([]) == []


def test_groups_without_a_score_of_their_own_are_no_part_of_the_sample() -> None:
    values, groups = [1.0, 0.0, 1.0, 1.0], ["a", "b", "c", "d"]
    with_copies = [*values, math.nan, math.nan], [*groups, "only copies", "a"]
    assert estimate_mean(*with_copies) == estimate_mean(values, groups)
    better = [1.0] * 4
    assert difference_of(with_copies[0], [*better, math.nan, math.nan], with_copies[1], seed=1) == difference_of(
        values, better, groups, seed=1
    )
    with pytest.raises(ValueError, match="0 values of 2 have a score"):
        estimate_mean([math.nan, math.nan], ["a", "b"])
