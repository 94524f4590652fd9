"""The pieces of the comparison page: headlines, scales, the radar's axes, and which examples are shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finesight.report.comparison.axis import Axis, difference_axis, score_axis
from finesight.report.comparison.headline import headline, sentences
from finesight.report.comparison.items import differing_items
from finesight.report.comparison.marks import SHAPES, mark_all
from finesight.report.comparison.radar import MOST_AXES, radar, spokes
from finesight.report.comparison.strips import draw_score
from finesight.schema import Judged, Record

SHARE = {"low": 0.0, "high": 1.0, "percent": True, "higher_is_better": True, "binary": True}
PERPLEXITY = {"low": 1.0, "high": None, "percent": False, "higher_is_better": False, "binary": False}
LOGIT = {"low": None, "high": None, "percent": False, "higher_is_better": True, "binary": False}
NONE = "no difference found"


def difference(verdict: str, **changes: Any) -> dict[str, Any]:
    return {"verdict": verdict, "estimate": 0.1, "low": 0.05, "high": 0.15, "smallest_detectable": 0.08,
            "better": 9, "worse": 1} | changes  # fmt: skip


def comparison_of(names: str, *verdicts: str) -> dict[str, Any]:
    """Return a comparison of contenders with one letter, a text of verdicts' initials (b, w, n) for each task."""
    words = {"b": "better", "w": "worse", "n": NONE}
    return {
        "contenders": list(names),
        "tasks": [
            {
                "name": f"task{number}",
                "role": "held_out",
                "by_tuning": {},
                "scale": SHARE,
                "differences": {
                    name: difference(words[initial]) for name, initial in zip(names[1:], task, strict=True)
                },
            }
            for number, task in enumerate(verdicts)
        ],
    }


@pytest.mark.parametrize(
    ("comparison", "said"),
    [
        (comparison_of("ab", "b"), "b is better"),
        (comparison_of("ab", "w"), "b is worse"),
        (comparison_of("ab", "n"), "No difference found"),
        (comparison_of("ab", "b", "b"), "b is better on both tasks"),
        (comparison_of("ab", "b", "b", "b"), "b is better on all 3 tasks"),
        (comparison_of("ab", "b", "w"), "Both differences found"),
        (comparison_of("ab", "b", "n"), "1 of 2 differences found"),
        (comparison_of("abc", "bb"), "Both differences found"),
        (comparison_of("abc", "bb", "bw"), "All 4 differences found"),
        (comparison_of("abc", "bn", "nw"), "2 of 4 differences found"),
        (comparison_of("abc", "nn", "nn"), "No difference found"),
    ],
)
def test_the_headline_claims_what_was_found(comparison: dict[str, Any], said: str) -> None:
    assert headline(comparison).striptags() == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "one under 8.0\N{NO-BREAK SPACE}points would mostly have gone unnoticed."),
        ({"smallest_detectable": None}, "a single group cannot show one."),
        ({"better": 0, "worse": 0}, "every example scores the same."),
    ],
)
def test_where_nothing_was_found_it_is_told_what_could_have_been(changes: dict[str, Any], said: str) -> None:
    comparison = comparison_of("ab", "n")
    comparison["tasks"][0]["differences"]["b"] = difference(NONE, **changes)
    (sentence,) = sentences(comparison, mark_all("ab"))
    assert sentence.endswith(said)


def test_a_sentence_tells_what_is_better_first() -> None:
    (sentence,) = sentences(comparison_of("ab", "n", "w", "b"), mark_all("ab"))
    assert [clause.split(" (")[0] for clause in sentence.striptags().split("; ")] == [
        "b against a: better on task2", "worse on task1", "no difference found on task0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scale", "high", "ends"),
    [
        (SHARE, 0.57, ("0 %", "60 %")),
        (SHARE, 0.97, ("0 %", "100 %")),
        (SHARE, 0.6, ("0 %", "60 %")),
        (SHARE, 0.003, ("0 %", "0.3 %")),
        (SHARE, 0.0, ("0 %", "10 %")),
        (PERPLEXITY, 12.3, ("0", "15")),
        (PERPLEXITY, 4321.0, ("0", "5000")),
        (PERPLEXITY, None, ("0", "1")),
    ],
)
def test_a_scale_ends_at_a_round_number(scale: dict[str, Any], high: float | None, ends: tuple[str, str]) -> None:
    assert score_axis({"scale": scale}, [{"score": high, "high": high}]).ends == ends


@pytest.mark.parametrize(
    ("scores", "ends", "zero"),
    [([-8.2, 12.0], ("−10", "15"), 0.4), ([-8.2, -3.0], ("−10", "0"), 1.0), ([3.0, 12.0], ("0", "15"), 0.0)],
)
def test_a_scale_goes_below_nothing_where_scores_do(scores: list[float], ends: tuple[str, str], zero: float) -> None:
    axis = score_axis({"scale": LOGIT}, [{"score": value, "low": value, "high": value} for value in scores])
    assert (axis.ends, axis.place(0.0)) == (ends, pytest.approx(zero))
    assert len({axis.place(value) for value in scores}) == 2


def test_a_bar_below_nothing_ends_at_nothing() -> None:
    score = {"score": -4.0, "low": -6.0, "high": -2.0}
    axis = score_axis({"scale": LOGIT}, [score, {"score": 6.0, "low": 5.0, "high": 7.0}])
    begin = 100 * axis.place(-4.0)
    drawn = draw_score(mark_all("a")[0], score, axis)
    assert f'class="bar" x="{begin:.2f}%" y="4" width="{100 * axis.place(0.0) - begin:.2f}%"' in drawn


def test_a_scale_of_differences_has_zero_in_its_middle() -> None:
    axis = difference_axis({"scale": SHARE}, [{"low": -0.31, "estimate": -0.1, "high": 0.05}])
    assert (axis.ends, axis.place(0.0)) == (("−40", "+40 points"), 0.5)


@given(st.lists(st.floats(min_value=0, max_value=1e300) | st.just(math.inf), min_size=1))
def test_every_score_lies_on_its_scale(values: list[float]) -> None:
    scores = [{"score": value, "high": value} for value in values]
    axis: Axis = score_axis({"scale": PERPLEXITY}, scores)
    assert axis.low < axis.high
    assert all(0 <= axis.place(value) <= 1 for value in values)
    assert all(value <= axis.high * (1 + 1e-9) for value in values if math.isfinite(value))


def scored(metric: str, scale: dict[str, Any], *values: float | None) -> dict[str, Any]:
    scores = {name: {"score": value, "low": value, "high": value} for name, value in zip("ab", values, strict=True)}
    return {"metric": metric, "scale": scale, "scores": scores}


def test_outwards_is_better_on_every_axis_of_the_radar() -> None:
    also = [scored("perplexity", PERPLEXITY, 2.0, 12.0), scored("token_f1", SHARE, 0.2, 0.5)]
    task = {"name": "held_out", **scored("exact_match", SHARE, 0.2, 0.4), "also": also}
    exact, perplexity, _ = axes = spokes([task])
    assert (exact.centre, exact.rim, exact.reach("b")) == ("0 %", "40 %", 1.0)
    assert (perplexity.centre, perplexity.rim) == ("15", "1")
    assert perplexity.reach("a") > perplexity.reach("b") > 0
    drawn = radar(axes, mark_all("ab"))
    assert drawn.drawing is not None
    assert drawn.drawing.count('class="spoke"') == 3


def test_a_score_beyond_all_numbers_is_at_the_worst_end() -> None:
    task = {"name": "held_out", **scored("perplexity", PERPLEXITY, 2.0, None), "also": []}
    task["scores"]["a"]["high"] = 3.0
    (spoke,) = spokes([task])
    assert (spoke.reach("a"), spoke.reach("b")) == (0.5, 0.0)


def test_what_the_radar_does_not_draw_is_told() -> None:
    names = [str(number) for number in range(len(SHAPES) + 2)]
    scores = {name: {"score": 0.5, "low": 0.4, "high": 0.6} for name in names}
    tasks = [
        {"name": f"task{number}", "metric": "exact_match", "scale": SHARE, "scores": scores, "also": []}
        for number in range(MOST_AXES + 1)
    ]
    drawn = radar(spokes(tasks), mark_all(names))
    assert f"the first {MOST_AXES} of {MOST_AXES + 1} axes" in drawn.note
    assert f"the first {len(SHAPES)} of {len(names)} contenders" in drawn.note


def test_contenders_beyond_the_shapes_get_hollow_ones() -> None:
    marked = mark_all([str(number) for number in range(2 * len(SHAPES))])
    assert len({contender.style for contender in marked}) == len(marked)


def judge(scores: list[list[float]], groups: str = "") -> dict[str, list[Judged]]:
    """Return the answers of contenders a, b … with these scores, one list a contender."""
    return {
        name: [
            Judged(Record(str(place), "said", ("right",), group=groups[place : place + 1]), score, "wrong")
            for place, score in enumerate(own)
        ]
        for name, own in zip("abc", scores, strict=False)
    }


def items_of(answers: dict[str, list[Judged]], scale: dict[str, Any]) -> Any:
    return differing_items({"scale": scale}, mark_all(list(answers)), answers, dict.fromkeys(answers, Path()))


GRADED = SHARE | {"binary": False}


def test_the_largest_differences_come_first() -> None:
    items = items_of(judge([[0.9, 0.5, 1.0, 0.3], [0.1, 0.4, 0.0, 0.3]]), GRADED)
    assert (items.differing, items.examples) == (3, 4)
    (constellation,) = items.constellations
    assert [card.id for card in constellation.cards] == ["2", "0", "1"]


def test_one_example_of_each_group_comes_before_a_second_of_any() -> None:
    items = items_of(judge([[1.0] * 6, [0.0] * 6], groups="xxxxyz"), SHARE)
    shown = [card.id for card in items.constellations[0].cards]
    assert {"4", "5"} < set(shown[:3])
    assert len(shown) == 6


def test_copies_without_a_score_of_their_own_are_no_examples() -> None:
    items = items_of(judge([[1.0, math.nan], [0.0, math.nan]]), SHARE)
    assert (items.differing, items.examples) == (1, 1)


def test_where_less_is_better_the_lowest_is_best() -> None:
    items = items_of(judge([[3.0, 3.0], [9.0, math.inf]]), PERPLEXITY)
    (constellation,) = items.constellations
    assert constellation.name.striptags() == "a best"
    assert [card.id for card in constellation.cards] == ["1", "0"]


def test_many_constellations_are_summed_up() -> None:
    patterns = [[float(number >> place & 1) for number in range(256)] for place in range(8)]
    answers = {
        str(place): [Judged(Record(str(number), "", ("x",)), score, "wrong") for number, score in enumerate(own)]
        for place, own in enumerate(patterns)
    }
    items = items_of(answers, SHARE)
    *_, (rest, share) = items.counts
    assert (rest, share) == ("244 more such lines", "244 (95.3 %)")
    assert len(items.constellations) == 8
