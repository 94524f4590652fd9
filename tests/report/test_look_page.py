"""What the page of `look` makes of its content: nothing that is in a text stays unseen, and figures are in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from finesight.report.look.drawings import draw_bars, draw_rows, draw_sight
from finesight.report.look.figures import figure_rows
from finesight.report.look.tokens import visible, write_segment


def piece(text: str, *ids: int, position: int = 0, **changes: Any) -> dict[str, Any]:
    plain = {"form": "text", "kind": "question", "learned": False}
    return {"text": text, "ids": list(ids), "first_position": position, **plain, **changes}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a↵\nb"),
        ("\t", "⇥\t"),
        ("\r", "␍"),
        ("x\u200by", "x⟨U+200B⟩y"),
        ("\ufeff", "⟨U+FEFF⟩"),
        ("\x00", "⟨U+0000⟩"),
        ("цвет 🙂 é", "цвет 🙂 é"),
    ],
)
def test_characters_without_a_mark_of_their_own_are_named(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_tokens_are_marked_by_what_they_are() -> None:
    pieces = [
        piece("", 3, 3, 3, form="image", kind="prefix"),
        piece("<b>", 7, position=3),
        piece("é", 8, 9, position=4, kind="answer", learned=True),
        piece("</s>", 2, position=6, form="special", kind="answer", learned=True),
    ]
    assert write_segment({"pieces": pieces}) == (
        '<span class="prefix"><i class="chip" title="id 3, positions 0 to 2">3 image tokens</i></span>'
        '<span class="question"><i title="id 7, position 3">&lt;b&gt;</i></span>'
        '<u class="answer"><i title="ids 8 9, positions 4 to 5">é</i>'
        '<i class="special" title="id 2, position 6">&lt;/s&gt;</i></u>'
    )


def segment(tokens: int, first: int) -> dict[str, int]:
    return {"tokens": tokens, "first_position": first, "last_position": first + tokens - 1}


def test_rows_are_drawn_as_wide_as_their_tokens() -> None:
    rows = [
        {"tokens": 100, "padding": 0, "segments": [segment(60, 0), segment(30, 60), segment(10, 60)]},
        {"tokens": 75, "padding": 25, "segments": [segment(60, 0), segment(15, 60)]},
    ]
    drawn = str(draw_rows(rows))
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="26"', drawn)]
    assert widths == [432.0, 216.0, 72.0, 432.0, 108.0, 180.0]
    assert "<title>branch 2: 10 tokens, positions 60 to 69</title>" in drawn
    assert "<title>padding: 25 tokens</title>" in drawn


def test_who_sees_whom_is_drawn_cell_by_cell() -> None:
    sees = [["before", "nothing"], ["all", "before"]]
    drawn = str(draw_sight({"segments": [segment(2, 0), segment(2, 2)], "sees": sees}))
    assert (drawn.count('class="frame"'), drawn.count('<rect class="seen"'), drawn.count("<polygon")) == (4, 1, 2)


def test_bars_tell_their_figures() -> None:
    drawn = str(draw_bars({"counts": [3, 0, 1], "edges": [10, 12, 14, 16], "min": 10, "max": 14}))
    assert re.findall("<title>(.*?)</title>", drawn) == [
        "10 to 11 tokens: 3 examples", "12 to 13 tokens: 0 examples", "14 tokens: 1 example",
    ]  # fmt: skip


def test_what_is_not_there_is_not_told() -> None:
    nobody = {"examples": 0, "first": []}
    figures: dict[str, Any] = {
        "examples": 0, "contexts": 0, "groups": 0, "answer_types": [], "question_types": [], "top_answers": [],
        "empty_answers": nobody, "image_sizes": {}, "over_length": {"examples": 2, "first": ["a:1", "a:2"]},
    }  # fmt: skip
    told = dict(figure_rows(figures, {"max_length": 2048, "over_length": "drop"}))
    assert list(told) == ["Examples", "Over 2,048 tokens"]
    assert told["Over 2,048 tokens"] == "2, first a:1, a:2: left out (data.over_length: drop)"
