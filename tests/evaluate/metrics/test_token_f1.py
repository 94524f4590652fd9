"""Token F1 against cases worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.evaluate.metrics import exact_match
from finesight.evaluate.metrics.token_f1 import METRIC
from finesight.schema import Record


def f1(prediction: str, *references: str) -> float:
    return METRIC.measure([Record("1", prediction, references)]).score


@pytest.mark.parametrize(
    ("prediction", "references", "score"),
    [
        ("left lung", ["left lung"], 1),
        ("Left lung.", ["left  LUNG"], 1),
        ("lung left", ["left lung"], 1),
        ("left", ["left lung"], 2 / 3),
        ("the left lung", ["left lung"], 4 / 5),
        ("left left", ["left lung"], 2 / 4),
        ("left left", ["left left lung"], 4 / 5),
        ("heart", ["left lung"], 0),
        ("left", ["right lung", "left lung", "left side of it"], 2 / 3),
        # Unicode
        ("большой чёрный кот", ["чёрный кот"], 4 / 5),
        ("черный кот", ["чёрный кот"], 1 / 2),
        ("че\u0308рный", ["чёрный"], 1),
        ("ΜΑΎΡΗ γάτα", ["μαύρη γάτα"], 1),
        ("cafe\u0301 noir", ["caf\u00e9"], 2 / 3),
        ("\uff11\uff12 кг", ["12 кг"], 1),
        ("חתול שחור", ["חתול"], 2 / 3),
        ("\U0001f44d", ["\U0001f44d"], 1),
        ("left\rlung\u2028", ["left lung"], 1),
        ("黑色的猫", ["黑猫"], 2 * 2 / 6),
        ("赤い car", ["赤い車"], 2 * 2 / 6),
        ("да " * 5000, ["да"], 2 / 5001),
        # no words
        ("", [""], 1),
        ("", ["left"], 0),
        ("left", [""], 0),
    ],
)
def test_known_cases(prediction: str, references: list[str], score: float) -> None:
    assert f1(prediction, *references) == pytest.approx(score)


@given(st.text(max_size=20), st.text(max_size=20))
def test_it_is_a_share_the_same_from_both_sides_and_whole_for_an_exact_match(one: str, other: str) -> None:
    assert 0 <= f1(one, other) == f1(other, one) <= 1
    assert f1(one, one) == 1
    if exact_match.normalise(one) == exact_match.normalise(other):
        assert f1(one, other) == 1


def test_the_score_of_several_is_their_mean() -> None:
    records = [Record("1", "left", ("left lung",)), Record("2", "yes", ("yes",)), Record("3", "no", ("yes",))]
    assert METRIC.measure(records).score == pytest.approx((2 / 3 + 1 + 0) / 3)
