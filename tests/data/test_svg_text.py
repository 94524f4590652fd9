"""The path-a-line text and its way back, whoever wrote it."""

from __future__ import annotations

import pytest

from finesight.data.svg.path_lines import parse_path_lines, restore
from finesight.data.svg.simplify import simplify
from finesight.errors import DataError

REPORTED = "style=fill:3,84,76;stroke:None;stroke-width:1;opacity:1\td=M11,471 A14,28,0,1,0,40,471 A14,28,0,1,0,11,471"


def test_the_reports_line_comes_back_as_it_was() -> None:
    assert str(parse_path_lines(REPORTED)[0]) == REPORTED
    assert simplify(restore(REPORTED)).text == REPORTED


@pytest.mark.parametrize(
    ("said", "fill"),
    [
        ("3,84,76", (3, 84, 76)),
        ("3, 84, 76", (3, 84, 76)),
        ("rgb(3, 84, 76)", (3, 84, 76)),
        ("#03544c", (3, 84, 76)),
        ("currentColor", (0, 0, 0)),
        ("none", None),
        ("None", None),
        ("null", None),
    ],
)
@pytest.mark.parametrize("separator", ["\t", " ", "  \t "])
def test_reality_is_read(said: str, fill: tuple[int, int, int] | None, separator: str) -> None:
    (line,) = parse_path_lines(f"\nstyle=fill:{said};stroke:null;stroke-width:1;opacity:1{separator}d=M0,0 L9,9\n\n")
    assert (line.fill, line.stroke, line.data) == (fill, None, "M0,0 L9,9")


def test_what_a_style_leaves_out_is_as_svg_has_it() -> None:
    (line,) = parse_path_lines("style=stroke:1,2,3\td=M0,0 L9,9")
    assert (line.fill, line.stroke, line.stroke_width, line.opacity) == ((0, 0, 0), (1, 2, 3), 1, 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a red circle", "text:2: not a path"),
        ("style=fill:1,2,3", "text:2: not a path"),
        ("style=fill:1,2,3\td=", "text:2: not an outline: d= is empty"),
        ("style=fill:1,2,3\td=M0,0 L9,9 Lx", "text:2: not an outline: Lx"),
        ("style=fill:1,2,3\td=L9,9", "text:2: not an outline: L9,9"),
        ("style=fill:1,2\td=M0,0 L9,9", "text:2: not a colour: 1,2"),
        ("style=fill\td=M0,0 L9,9", "text:2: not a style: fill"),
        ("style=stroke-width:wide\td=M0,0 L9,9", "text:2: not a number: wide"),
        ("style=opacity:1e999\td=M0,0 L9,9", "text:2: a number is too large"),
    ],
)
def test_a_line_of_another_form_is_named(line: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        restore(f"{REPORTED}\n{line}\n")
    assert caught.value.message.startswith(told)


def test_restored_lines_say_all_that_the_text_says() -> None:
    text = "style=fill:None;stroke:1,2,3;stroke-width:14;opacity:0.5\td=M0,0 L9,0 L9,9 L0,0 M20,20 L30,30"
    assert restore(text).splitlines()[1:] == [
        '<path fill="none" stroke="rgb(1,2,3)" stroke-width="14" opacity="0.5" '
        'd="M0,0 L9,0 L9,9 L0,0 Z M20,20 L30,30"/>',
        "</svg>",
    ]
    assert simplify(restore(text)).text == text


def test_no_lines_are_an_empty_drawing() -> None:
    assert simplify(restore("")).text == ""
