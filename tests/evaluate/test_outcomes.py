"""Each way of being wrong, told by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finesight.evaluate.metrics.metric import GRADED, OPEN_SCORE, UNIT_SCORE, Metric, Scale, mean_of
from finesight.evaluate.metrics.metrics import METRICS
from finesight.evaluate.outcomes import OUTCOMES, count_became_right, count_outcomes, script_of
from finesight.evaluate.score import Scored, score_records
from finesight.schema import Record

EXACT = METRICS["exact_match"]


def outcome(record: Record, metric: Metric = EXACT) -> str:
    (found,) = (kind for kind, count in count_outcomes(score_records([record], metric, "trial")).items() if count)
    return found


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("Yes.", ["yes"], "right"),
        (" \n", ["yes"], "empty"),
        ("no", ["yes"], "wrong"),
        ("Yes, it is.", ["yes"], "other_format"),
        ("yes and no", ["yes"], "wrong"),
        ("The ball is dark red.", ["dark red"], "other_format"),
        ("The red ball is dark.", ["dark red"], "wrong"),
        ("Это красный шар", ["красный"], "other_format"),
        ("да или нет", ["нет"], "wrong"),
        ("red", ["красный"], "other_language"),
        ("красный", ["red"], "other_language"),
        ("κόκκινο", ["red"], "other_language"),
        ("红色", ["red"], "other_language"),
        ("12", ["красный"], "wrong"),
        ("2 balls", ["2"], "other_format"),
        ("two", ["2"], "wrong"),
        ("yesterday", ["yes"], "wrong"),
        ("\U0001f44d", ["\U0001f44e"], "wrong"),
        ("\uff42\uff4c\uff55\uff45", ["red"], "wrong"),
        ("いぬです", ["猫"], "wrong"),
        ("N", ["нет"], "wrong"),
        ("犬", ["dog"], "other_language"),
        ("개", ["dog"], "other_language"),
        ("собака", ["B"], "wrong"),
        ("כחול", ["אדום"], "wrong"),
    ],
)
def test_a_way_of_being_wrong_has_its_name(prediction: str, references: list[str], expected: str) -> None:
    assert outcome(Record("1", prediction, tuple(references))) == expected


def test_an_answer_that_was_cut_is_told_unless_it_is_right_or_names_the_right_answer() -> None:
    cut = Record("1", "The ball lies on", ("red",), finish_reason="length")
    assert outcome(cut) == "cut"
    assert outcome(replace(cut, prediction="red")) == "right"
    assert outcome(replace(cut, prediction="a red ball lies on")) == "other_format"


def test_an_answer_that_names_another_option_too_is_wrong() -> None:
    choice = Record("1", "It is the cat", ("cat",), choices=("cat", "dog"))
    assert outcome(choice) == "other_format"
    assert outcome(replace(choice, prediction="a cat or a dog")) == "wrong"


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("А", "right"),
        ("Ответ: A", "right"),
        ("Это точно красный шар", "other_format"),
        ("Не красный, а синий", "unparsed"),
        ("red, of course", "other_language"),
        ("nothing of the kind", "other_language"),
        ("B", "wrong"),
        ("E", "unparsed"),
        ("A или B", "unparsed"),
        ("12", "unparsed"),
        ("", "empty"),
        ("Надо подумать о том", "unparsed"),
    ],
)
def test_what_an_option_is_called_tells_no_language(prediction: str, expected: str) -> None:
    record = Record("1", prediction, ("A",), choices=("красный", "синий", "nan", "nan"))
    assert outcome(record, METRICS["choice_accuracy"]) == expected
    if expected == "unparsed":
        assert outcome(replace(record, finish_reason="length"), METRICS["choice_accuracy"]) == "cut"


def test_options_without_a_letter_tell_no_language() -> None:
    record = Record("1", "пять", ("A",), choices=("5", "12"))
    assert outcome(record, METRICS["choice_accuracy"]) == "unparsed"


@pytest.mark.parametrize(
    ("prediction", "expected"), [("The answer is A.", "other_format"), ("A dog", "wrong"), ("B, not red", "wrong")]
)
def test_a_letter_among_words_is_read_and_not_looked_for(prediction: str, expected: str) -> None:
    record = Record("1", prediction, ("A",), choices=("red", "blue"))
    assert outcome(record, EXACT) == expected


def test_an_answer_that_cannot_be_read_is_told() -> None:
    letters = replace(EXACT, can_read=lambda record: record.prediction in "ABCD")
    assert outcome(Record("1", "E", ("A",)), letters) == "unparsed"
    assert outcome(Record("1", "B", ("A",)), letters) == "wrong"


def test_a_part_of_the_marks_is_told_where_there_are_parts() -> None:
    parts = {"all": 1.0, "some": 0.3, "none": 0.0}
    graded = Metric("parts", "Parts.", "finesight", mean_of(lambda record: parts[record.prediction]), str, GRADED)
    assert outcome(Record("1", "some", ("all",)), graded) == "partly"
    assert outcome(Record("1", "none", ("all",)), graded) == "wrong"
    assert outcome(Record("1", "all", ("all",)), graded) == "right"


@pytest.mark.parametrize("scale", [OPEN_SCORE, UNIT_SCORE], ids=["without end", "to 1"])
@pytest.mark.parametrize(
    ("said", "finish_reason", "expected"),
    [
        ("a red ball", "stop", "written"),
        ("", "stop", "empty"),
        ("красный шар", "stop", "other_language"),
        ("a red", "length", "cut"),
    ],
)
def test_scores_that_are_no_share_of_right_answers_call_nothing_right_or_wrong(
    scale: Scale, said: str, finish_reason: str, expected: str
) -> None:
    for score in (0.0, 0.4, 1.0):
        metric = Metric("likeness", "Likeness.", "finesight", mean_of(lambda _, of=score: of), str, scale)
        assert outcome(Record("1", said, ("a ball",), finish_reason=finish_reason), metric) == expected


def test_what_scores_no_answers_has_no_outcomes() -> None:
    lower = Scale(percent=False, higher_is_better=False, binary=False)
    metric = Metric("surprise", "Lower is better.", "finesight", mean_of(lambda _: 0.5), str, lower)
    assert count_outcomes(score_records([Record("1", "a", ("b",))], metric, "trial")) == {}


def test_what_became_right_is_counted_by_what_it_was() -> None:
    def answered(*predictions: str) -> Scored:
        records = [Record(str(number), text, ("red",)) for number, text in enumerate(predictions)]
        return score_records(records, EXACT, "trial")

    before = answered("a red ball", "красный", "blue", "red", "", "blue")
    after = answered("red", "red", "red", "red", "red", "green")
    assert count_became_right(before, after) == {"other_format": 1, "other_language": 1, "empty": 1, "wrong": 1}


def test_scripts_are_told_apart() -> None:
    texts = (
        "да!",
        "yes",
        "ναι",
        "12",
        "да yes",
        "e\u0301t\u00e9",
        "\uff59\uff45\uff53",
        "ねこ",
        "ニューヨーク",
        "猫",
        "לא",
    )
    assert [script_of(text) for text in texts] == [
        "CYRILLIC", "LATIN", "GREEK", "", "LATIN", "LATIN", "LATIN", "CJK", "CJK", "CJK", "HEBREW",
    ]  # fmt: skip


def test_every_outcome_says_its_rule() -> None:
    assert all(OUTCOMES.values())
