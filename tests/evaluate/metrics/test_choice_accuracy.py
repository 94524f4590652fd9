"""Accuracy of multiple choice, in one pass and with rotated options."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from finesight.errors import DataError
from finesight.evaluate.metrics.choice_accuracy import METRICS
from finesight.evaluate.predictions import read_predictions
from finesight.rundir import record_from_json
from finesight.schema import Record

ONCE, CIRCULAR = METRICS


def asked(name: str, prediction: str, reference: str = "A", rotation_of: str = "") -> Record:
    choices = ("cat", "dog", "bird")
    return Record(name, prediction, (reference,), choices=choices, rotation_of=rotation_of)


RECORDS = [
    asked("1", "A"),
    asked("1-b", "(b)", "B", rotation_of="1"),
    asked("1-c", "The answer is C.", "C", rotation_of="1"),
    # right at first, wrong in a copy that stands before it
    asked("2-b", "A", "B", rotation_of="2"),
    asked("2", "cat"),
    # no copies
    asked("3", "А"),
    # unparsed in a copy
    asked("4", "A"),
    asked("4-b", "A dog or a cat", "B", rotation_of="4"),
    # wrong
    asked("5", "B"),
    asked("5-b", "B", "B", rotation_of="5"),
    # the question of a copy is not there
    asked("6-b", "B", "B", rotation_of="6"),
]


def by_id(items: np.ndarray) -> dict[str, float]:
    return {record.id: float(item) for record, item in zip(RECORDS, items, strict=True) if not isnan(item)}


def test_one_pass_and_circular_side_by_side() -> None:
    once, circular = ONCE.measure(RECORDS), CIRCULAR.measure(RECORDS)
    assert by_id(once.items) == {"1": 1, "2": 1, "3": 1, "4": 1, "5": 0}
    assert by_id(circular.items) == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 0}
    assert (once.score, circular.score) == (4 / 5, 2 / 5)


def test_copies_add_nothing_to_the_statistics() -> None:
    copies = [place for place, record in enumerate(RECORDS) if record.rotation_of]
    for metric in METRICS:
        measured = metric.measure(RECORDS)
        assert not measured.statistics[copies].any()
        assert measured.statistics[:, 1].sum() == 5


def test_the_order_of_records_makes_no_difference() -> None:
    for metric in METRICS:
        assert metric.measure(RECORDS[::-1]).score == metric.measure(RECORDS).score


def test_an_answer_without_an_option_is_wrong_and_cannot_be_read() -> None:
    unread, wrong = asked("1", "A dog is here"), asked("2", "B")
    for metric in METRICS:
        assert metric.can_read is not None
        assert [metric.can_read(record) for record in (unread, wrong)] == [False, True]
        assert metric.measure([unread, wrong]).items.tolist() == [0, 0]


def test_copies_alone_have_no_score() -> None:
    copy = asked("6-b", "B", "B", rotation_of="6")
    assert all(isnan(metric.measure([copy]).score) for metric in METRICS)


def test_records_that_are_no_multiple_choice_are_refused() -> None:
    plain = [replace(record, choices=()) for record in RECORDS[:5]]
    with pytest.raises(DataError) as refused:
        ONCE.measure([*plain, RECORDS[5]])
    assert refused.value.message == "choice_accuracy: 5 of 6 records without choices (1, 1-b, 1-c, …)"
    with pytest.raises(DataError, match=r"1 of 2 records with references that are neither .* \(7\)") as refused:
        CIRCULAR.measure([RECORDS[0], asked("7", "A", "D")])
    assert "`letters`" in refused.value.hint


def test_letters_are_kept_with_a_record() -> None:
    record = replace(asked("1", "Б", "Б"), letters=("А", "Б", "В"))
    assert record_from_json(record.to_json()) == record
    assert ONCE.measure([record]).score == 1
    assert "letters" not in asked("1", "A").to_json()


@pytest.mark.parametrize("letters", ['"AB"', '["A"]', '["A", "B", "C"]'])
def test_a_predictions_file_names_every_choice_or_none(tmp_path: Path, letters: str) -> None:
    file = tmp_path / "predictions.jsonl"
    line = '{"id": 1, "prediction": "A", "references": ["A"], "choices": ["cat", "dog"], "letters": %s}\n'
    file.write_text(line % '["A", "B"]', encoding="utf-8")
    assert read_predictions(file)[0].letters == ("A", "B")
    file.write_text(line % letters, encoding="utf-8")
    with pytest.raises(DataError, match=":1: letters must be a list, one for each of the choices"):
        read_predictions(file)
