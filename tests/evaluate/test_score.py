"""Records become scores and breakdowns; sets that do not fit are refused with counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from record_making import record, records

from finesight.errors import UserError
from finesight.evaluate.metrics.metrics import METRICS
from finesight.evaluate.score import Scored, break_down, score_records, summarise
from finesight.schema import Record

METRIC = METRICS["exact_match"]


def scored(*entries: Record) -> Scored:
    return score_records(entries, METRIC, "trial")


def test_a_score_says_how_many_are_right_and_how_sure_it_is() -> None:
    summary = summarise(score_records(records([True, False] * 30), METRIC, "trial"))
    assert set(summary) == {"score", "standard_error", "naive_standard_error", "low", "high", "right", "counted"}
    assert (summary["score"], summary["right"]) == (0.5, 30)
    assert summary["low"] < 0.5 < summary["high"]


def test_a_record_without_group_is_a_group_of_its_own() -> None:
    entries = scored(*(Record(str(number), "yes", ("yes",)) for number in range(5)))
    assert entries.group_count == 5


def test_breakdown_gives_each_kind_its_own_scores_the_most_frequent_first() -> None:
    after = scored(
        record(0, "yes", answer_type="CLOSED"),
        record(1, "no", answer_type="CLOSED"),
        record(2, "lung", "lung", answer_type="OPEN"),
        record(3, "yes"),
        record(4, "yes", answer_type="CLOSED"),
    )
    before = scored(*(replace(entry, prediction="") for entry in after.records))
    rows = break_down({"before": before, "after": after}, "answer_type")
    assert [(row["value"], row["examples"], row["groups"]) for row in rows] == [
        ("CLOSED", 3, 2), ("not given", 1, 1), ("OPEN", 1, 1),
    ]  # fmt: skip
    assert rows[0]["scores"]["after"]["right"] == 2 and rows[0]["scores"]["before"]["right"] == 0
    assert break_down({"after": after}, "question_type") == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "trial: there are no records"),
        ([record(1, "a"), record(1, "b"), record(2, "c")], r"trial: 1 id \(1\) more than once"),
        ([replace(record(1, "a"), references=())], r"trial: 1 id \(1\) without references"),
    ],
)
def test_a_set_that_cannot_be_scored_is_refused(entries: list[Record], message: str) -> None:
    with pytest.raises(UserError, match=message):
        score_records(entries, METRIC, "trial")


def test_copies_of_a_question_count_with_it_and_not_by_themselves() -> None:
    asked = Record("1", "A", ("A",), choices=("red", "blue"), group="image", answer_type="asked")
    copies = [
        replace(asked, id=f"copy {number}", rotation_of="1", group=group, answer_type=kind)
        for number, (group, kind) in enumerate([("image", "asked"), ("another", "copies alone")])
    ]
    once = score_records([asked, *copies], METRICS["choice_accuracy"], "trial")
    assert (once.counted, once.group_count, summarise(once)["counted"]) == (1, 1, 1)
    assert [row["value"] for row in break_down({"after": once}, "answer_type")] == ["asked"]
