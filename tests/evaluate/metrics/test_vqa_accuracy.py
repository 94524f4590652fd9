"""VQA accuracy against the official evaluator's output and the definition, word for word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.metrics.vqa_accuracy import METRICS
from finesight.schema import Record

ALWAYS, OFFICIAL = METRICS


def accuracy(prediction: str, references: list[str]) -> float:
    return ALWAYS.measure([Record("1", prediction, tuple(references))]).score


def official_accuracy(prediction: str, references: list[str]) -> float:
    return OFFICIAL.measure([Record("1", prediction, tuple(references))]).score


def test_the_metrics_have_their_names() -> None:
    assert [metric.name for metric in METRICS] == ["vqa_accuracy", "vqa_accuracy_official"]
    assert not any(metric.scale.binary for metric in METRICS)


def test_every_row_of_the_official_evaluator(shared: Path) -> None:
    rows = json.loads((shared / "fixtures" / "vqa_accuracy" / "golden_vqa.json").read_text("utf-8"))["accuracy"]
    assert len(rows) == 27
    assert [100 * official_accuracy(row["pred"], row["answers"]) for row in rows] == [row["acc"] for row in rows]
    unlike = [row for row in rows if len(set(row["answers"])) > 1]
    assert [100 * accuracy(row["pred"], row["answers"]) for row in unlike] == [row["acc"] for row in unlike]


@pytest.mark.parametrize(
    ("prediction", "references", "always", "official"),
    [
        # where all references are the same, the official evaluator wants that very text
        ("Yes", ["yes"] * 10, 1, 0),
        ("yes.", ["yes"] * 10, 1, 0),
        ("two", ["2"] * 10, 1, 0),
        ("yes", [" yes\n"] * 10, 1, 1),
        ("Yes", ["yes"] * 9 + ["no"], 1, 1),
        # any other number of references than ten
        ("yes", ["yes"], 1, 1),
        ("Yes", ["yes"], 1, 0),
        ("no", ["yes"], 0, 0),
        ("yes", ["yes", "no"], 1 / 6, 1 / 6),
        ("yes", ["yes", "yes"], 1 / 3, 1 / 3),
        ("yes", ["yes"] * 3, 2 / 3, 2 / 3),
        ("yes", ["yes"] * 4, 1, 1),
        ("yes", ["yes"] * 3 + ["no"] * 17, 57 / 60, 57 / 60),
        # Unicode: the official rules know ASCII alone
        ("Чёрный.", ["чёрный", "черный"], 1 / 6, 1 / 6),
        ("cafe\u0301", ["caf\u00e9"] * 4 + ["bar"], 1, 0),
        ("\uff11\uff12", ["12"] * 4 + ["13"], 1, 0),
        ("ΣΚΎΛΟΣ", ["σκύλος"] * 4 + ["γάτα"], 1, 1),
        ("\u05d7\u05ea\u05d5\u05dc!", ["\u05d7\u05ea\u05d5\u05dc"] * 4 + ["-"], 1, 1),
        ("\U0001f44d", ["\U0001f44d"] * 4 + ["\U0001f44e"], 1, 1),
        ("left\rlung\u2028", ["left lung"] * 4 + ["lung"], 1, 1),
        ("да " * 3333, ["ДА " * 3333] * 4 + ["нет"], 1, 1),
        # what the rules leave nothing of is all the same
        ("the", ["a"] * 4 + ["b"], 1, 1),
        ("", ["yes"] * 10, 0, 0),
    ],
)
def test_known_cases(prediction: str, references: list[str], always: float, official: float) -> None:
    assert accuracy(prediction, references) == pytest.approx(always)
    assert official_accuracy(prediction, references) == pytest.approx(official)


@given(st.lists(st.sampled_from(["cat", "dog"]), min_size=2, max_size=12))
def test_it_is_the_mean_over_references_left_out_one_by_one(references: list[str]) -> None:
    turns = [references[:place] + references[place + 1 :] for place in range(len(references))]
    expected = sum(min(others.count("cat") / 3, 1) for others in turns) / len(turns)
    assert accuracy("cat", references) == pytest.approx(expected)


@given(st.text(st.characters(codec="ascii"), max_size=20))
def test_on_ascii_the_two_normalise_alike(text: str) -> None:
    assert ALWAYS.normalise(text) == OFFICIAL.normalise(text)
