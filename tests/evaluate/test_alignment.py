"""Answers of several are put into one order, or refused with counts; groups are those that anybody tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_making import record

from finesight.errors import UserError
from finesight.evaluate.alignment import align, share_groups
from finesight.evaluate.metrics.metrics import METRICS
from finesight.evaluate.score import Scored, score_records
from finesight.schema import Record


def scored(*entries: Record) -> Scored:
    return score_records(entries, METRICS["exact_match"], "trial")


def test_alignment_puts_records_into_one_order() -> None:
    first, second = scored(record(1, "yes"), record(2, "no")), scored(record(2, "yes"), record(1, "no"))
    assert list(align(first, second, "a", "b").measured.items) == [0.0, 1.0]


def test_alignment_refuses_other_examples_with_counts() -> None:
    first, second = scored(*(record(number, "yes") for number in range(6))), scored(record(5, "yes"), record(9, "yes"))
    with pytest.raises(UserError) as refused:
        align(first, second, "a", "b")
    assert refused.value.message == (
        "a and b are about different examples; only in a: 5 ids (0, 1, 2, …); only in b: 1 id (9)"
    )


def test_alignment_refuses_the_same_id_for_another_question() -> None:
    with pytest.raises(UserError, match=r"1 id \(1\) with different references"):
        align(scored(record(1, "yes")), scored(record(1, "yes", "no")), "a", "b")


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (Record("1", "a", ("yes", "yes", "no")), Record("1", "a", ("yes", "no", "no")), "references"),
        (Record("1", "A", ("A",), choices=("x", "y")), Record("1", "A", ("A",), choices=("y", "x")), "options"),
    ],
)
def test_what_makes_an_answer_right_must_be_the_same(one: Record, other: Record, what: str) -> None:
    with pytest.raises(UserError, match=rf"1 id \(1\) with different {what}"):
        align(scored(one), scored(other), "a", "b")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Record("1", "a", ("yes", "no")), Record("1", "a", ("no", "yes"))),
        (Record("1", "A", ("A",), choices=("x", "y")), Record("1", "A", ("A",))),
    ],
)
def test_the_order_of_references_and_untold_options_do_not_matter(one: Record, other: Record) -> None:
    assert align(scored(one), scored(other), "a", "b").records == (other,)


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        (("x", "x", "y", "y"), ("", "", "", ""), 2),
        (("x", "x", "y", "y"), ("x", "x", "y", "y"), 2),
        (("x", "x", "y", "z"), ("p", "q", "q", "r"), 2),
        (("", "", "", ""), ("", "", "", ""), 4),
    ],
)
def test_examples_are_in_one_group_when_they_are_for_anybody(
    first: tuple[str, ...], second: tuple[str, ...], count: int
) -> None:
    a, b = (
        scored(*(replace(record(number, "yes"), group=group) for number, group in enumerate(groups)))
        for groups in (first, second)
    )
    for pair in ({"a": a, "b": b}, {"b": b, "a": a}):
        shared = share_groups(pair)
        assert {own.group_count for own in shared.values()} == {count}
        assert shared["a"].groups == shared["b"].groups
