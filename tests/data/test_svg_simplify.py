"""What becomes of each thing that an SVG can hold: its path-a-line text, worked out by hand."""

from __future__ import annotations

import pytest

from finesight.data.svg.simplify import simplify
from finesight.errors import DataError

PLAIN = "style=fill:0,0,0;stroke:None;stroke-width:1;opacity:1\td="
SQUARE = "M0,0 L10,0 L10,10 L0,10 L0,0"


def svg(body: str, attributes: str = 'viewBox="0 0 512 512"') -> str:
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {namespaces} {attributes}>{body}</svg>"


def lines(body: str, attributes: str = 'viewBox="0 0 512 512"') -> list[str]:
    return simplify(svg(body, attributes)).text.splitlines()


def data(body: str, attributes: str = 'viewBox="0 0 512 512"') -> str:
    """Return the outline of a drawing of one path."""
    (line,) = lines(body, attributes)
    return line.split("\td=")[1]


def style(body: str) -> dict[str, str]:
    """Return the style of a drawing of one path."""
    (line,) = lines(body)
    return dict(entry.split(":") for entry in line.split("\t")[0].removeprefix("style=").split(";"))


def test_a_line_has_the_reports_form() -> None:
    body = '<circle cx="25.5" cy="471" r="14.5" fill="#03544c"/>'
    assert lines(body) == [
        "style=fill:3,84,76;stroke:None;stroke-width:1;opacity:1\td=M11,471 A14,14,0,1,0,40,471 A14,14,0,1,0,11,471"
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<rect x="1" y="2" width="30" height="40"/>', "M1,2 L31,2 L31,42 L1,42 L1,2"),
        ('<rect width="30" height="40" rx="5"/>',
         "M5,0 L25,0 A5,5,0,0,1,30,5 L30,35 A5,5,0,0,1,25,40 L5,40 A5,5,0,0,1,0,35 L0,5 A5,5,0,0,1,5,0"),
        ('<rect width="20" height="40" rx="99" ry="4"/>',
         "M10,0 A10,4,0,0,1,20,4 L20,36 A10,4,0,0,1,10,40 A10,4,0,0,1,0,36 L0,4 A10,4,0,0,1,10,0"),
        ('<circle cx="50" cy="60" r="20"/>', "M30,60 A20,20,0,1,0,70,60 A20,20,0,1,0,30,60"),
        ('<ellipse cx="50" cy="60" rx="20" ry="10"/>', "M30,60 A20,10,0,1,0,70,60 A20,10,0,1,0,30,60"),
        ('<polygon points="0,0 10,0 10,10"/>', "M0,0 L10,0 L10,10 L0,0"),
        ('<polyline points="0 0 10 0 10 10 7"/>', "M0,0 L10,0 L10,10"),
        ('<line x1="1" y1="2" x2="3" y2="4" stroke="red"/>', "M1,2 L3,4"),
    ],
)  # fmt: skip
def test_shapes(body: str, expected: str) -> None:
    assert data(body) == expected


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ("M10 10L20 10L20 20z", "M10,10 L20,10 L20,20 L10,10"),
        ("m10 10 10 0 0 10z", "M10,10 L20,10 L20,20 L10,10"),
        ("M10,10H20V20h-5v-3", "M10,10 L20,10 L20,20 L15,20 L15,17"),
        ("M0 0C0 10 20 10 20 0S40-10 40 0", "M0,0 C0,10,20,10,20,0 C20,-10,40,-10,40,0"),
        ("M0 0c0 10 20 10 20 0s20-10 20 0", "M0,0 C0,10,20,10,20,0 C20,-10,40,-10,40,0"),
        ("M0 0S10 30 30 0", "M0,0 C0,0,10,30,30,0"),
        ("M0 0Q15 30 30 0T60 0", "M0,0 C10,20,20,20,30,0 C40,-20,50,-20,60,0"),
        ("M0 0q15 30 30 0t30 0", "M0,0 C10,20,20,20,30,0 C40,-20,50,-20,60,0"),
        ("M0 0 10 10 20 0T60 0L60 9", "M0,0 L10,10 L20,0 L60,0 L60,9"),
        ("M10 50A40 20 30 0 1 80 60", "M10,50 A40,20,30,0,1,80,60"),
        ("M10 50a40 20 30 0170 10", "M10,50 A40,20,30,0,1,80,60"),
        ("M0 0a0 20 0 0 1 30 9V0", "M0,0 L30,9 L30,0"),
        ("M.5.5e1-1.5-1.5L9 9", "M0,5 L-2,-2 L9,9"),
        ("M0 0L9 0L9 9zL5 5L0 5z", "M0,0 L9,0 L9,9 L0,0 M0,0 L5,5 L0,5 L0,0"),
        ("M0 0L9 0L9 9zm20 0l9 0l0 9z", "M0,0 L9,0 L9,9 L0,0 M20,0 L29,0 L29,9 L20,0"),
        ("M0 0L9 0L9 9 oops L50 50", "M0,0 L9,0 L9,9"),
        ("M0 0L9 0L9 9L50", "M0,0 L9,0 L9,9"),
        ("M0 0 M5 5 M8 8L9 99L0 50", "M8,8 L9,99 L0,50"),
        ("M0 0C10 0 20 0 30 0V9", "M0,0 L30,0 L30,9"),
    ],
)
def test_commands(commands: str, expected: str) -> None:
    assert data(f'<path d="{commands}"/>') == expected


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("translate(5)", "M5,0 L15,0 L15,10 L5,10 L5,0"),
        ("translate(5,6)", "M5,6 L15,6 L15,16 L5,16 L5,6"),
        ("scale(2)", "M0,0 L20,0 L20,20 L0,20 L0,0"),
        ("scale(2 3)", "M0,0 L20,0 L20,30 L0,30 L0,0"),
        ("rotate(90) translate(0 -20)", "M20,0 L20,10 L10,10 L10,0 L20,0"),
        ("rotate(90 10 10)", "M20,0 L20,10 L10,10 L10,0 L20,0"),
        ("skewX(45)", "M0,0 L10,0 L20,10 L10,10 L0,0"),
        ("skewY(45)", "M0,0 L10,10 L10,20 L0,10 L0,0"),
        ("matrix(1 2 3 4 5 6)", "M5,6 L15,26 L45,66 L35,46 L5,6"),
        ("translate(100) scale(2), rotate(90)", "M100,0 L100,20 L80,20 L80,0 L100,0"),
        ("translate(5) wobble(3)", SQUARE),
    ],
)
def test_transforms(transform: str, expected: str) -> None:
    assert data(f'<rect width="10" height="10" transform="{transform}"/>') == expected


def test_a_turned_style_is_a_transform_too() -> None:
    assert data('<rect width="10" height="10" style="transform: translate(5px, 6px)"/>').startswith("M5,6 L15,6")


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("scale(2,1)", "M60,60 A40,20,0,1,0,140,60 A40,20,0,1,0,60,60"),
        ("scale(-1,1) translate(-200)", "M170,60 A20,20,0,1,1,130,60 A20,20,0,1,1,170,60"),
        ("rotate(90 50 60) scale(1,1)", "M50,40 A20,20,0,1,0,50,80 A20,20,0,1,0,50,40"),
    ],
)
def test_arcs_stay_arcs_under_every_transform(transform: str, expected: str) -> None:
    assert data(f'<circle cx="50" cy="60" r="20" transform="{transform}"/>') == expected


def test_a_sheared_circle_is_an_ellipse_turned() -> None:
    # Half axes and angle of the image of a circle under (x, y) to (x + y, y): the singular values of the matrix are
    # the golden ratio and its inverse, the first axis lies at 31.7 degrees. Whole degrees would carry the halves too
    # far away, so there are four quarters.
    assert data('<circle cx="100" cy="150" r="100" transform="skewX(45)"/>') == (
        "M150,150 A162,62,32,0,0,350,250 A162,62,32,0,0,350,150 A162,62,32,0,0,150,50 A162,62,32,0,0,150,150"
    )


def test_a_circle_drawn_as_one_arc_that_almost_closes_does_not_vanish() -> None:
    drawn = data('<path d="M100 50A50 50 0 1 1 99.99 50z"/>')
    assert drawn.startswith("M100,50 A50,50,0,") and ",100,150 A50,50,0," in drawn and drawn.endswith("100,50")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('viewBox="0 0 64 64"', "M80,80 L160,80 L160,160 L80,160 L80,80"),
        ('width="64" height="64"', "M80,80 L160,80 L160,160 L80,160 L80,80"),
        ('viewBox="10 10 64 64"', "M0,0 L80,0 L80,80 L0,80 L0,0"),
        ('viewBox="0 0 128 64"', "M40,168 L80,168 L80,208 L40,208 L40,168"),
        ('viewBox="0 0 64 128"', "M168,40 L208,40 L208,80 L168,80 L168,40"),
        ('viewBox="0 0 64 64" width="100%" height="100%"', "M80,80 L160,80 L160,160 L80,160 L80,80"),
        ('viewBox="0 0 64 128" width="64" height="64" preserveAspectRatio="none"',
         "M80,40 L160,40 L160,80 L80,80 L80,40"),
        ('viewBox="0 0 64 128" width="64" height="64" preserveAspectRatio="xMinYMid meet"',
         "M40,40 L80,40 L80,80 L40,80 L40,40"),
        ('viewBox="0 0 64 128" width="64" height="64" preserveAspectRatio="xMidYMin slice"',
         "M80,80 L160,80 L160,160 L80,160 L80,80"),
        ("", "M10,10 L20,10 L20,20 L10,20 L10,10"),
    ],
)  # fmt: skip
def test_the_drawing_is_fitted_onto_the_canvas(attributes: str, expected: str) -> None:
    assert data('<rect x="10" y="10" width="10" height="10"/>', attributes) == expected


@pytest.mark.parametrize(
    ("length", "units"),
    [("96", 96), ("96px", 96), ("1in", 96), ("72pt", 96), ("6pc", 96), ("25.4mm", 96), ("2.54cm", 96), ("25%", 128)],
)
def test_lengths(length: str, units: int) -> None:
    assert data(f'<rect width="{length}" height="10"/>').startswith(f"M0,0 L{units},0 ")


@pytest.mark.parametrize(
    ("said", "fill"),
    [
        ("red", "255,0,0"),
        ("#f00", "255,0,0"),
        ("#FF0000", "255,0,0"),
        ("rgb(255, 0, 0)", "255,0,0"),
        ("rgb(100% 0% 0%)", "255,0,0"),
        ("rgb(300,-5,0.4)", "255,0,0"),
        ("hsl(120, 100%, 25%)", "0,128,0"),
        ("currentColor", "0,0,255"),
        ("url(#nowhere) red", "255,0,0"),
        ("nonsense", "1,2,3"),
        ("inherit", "1,2,3"),
        ("", "1,2,3"),
    ],
)
def test_colours(said: str, fill: str) -> None:
    body = f'<g fill="rgb(1,2,3)" color="blue"><rect width="9" height="9" fill="{said}"/></g>'
    assert style(body)["fill"] == fill


@pytest.mark.parametrize("said", ["none", "transparent", "#0000", "rgba(1,2,3,0)", "url(#nowhere)"])
def test_what_shows_nothing_is_left_out(said: str) -> None:
    assert lines(f'<rect width="9" height="9" fill="{said}"/>') == []


@pytest.mark.parametrize(
    "body",
    [
        '<rect width="9" height="9" display="none"/>',
        '<g display="none"><rect width="9" height="9"/></g>',
        '<rect width="9" height="9" visibility="hidden"/>',
        '<rect width="9" height="9" opacity="0"/>',
        '<rect width="0" height="9"/>',
        '<rect width="9" height="9" transform="scale(0)"/>',
        '<rect x="600" width="9" height="9"/>',
        '<rect y="-10" width="9" height="9"/>',
        '<circle r="-3"/>',
        '<path d=""/>',
        '<path d="L5 5"/>',
        '<path d="M0 0L50 50"/>',
        '<line x2="50" y2="50"/>',
        '<defs><rect width="9" height="9"/></defs>',
        '<clipPath id="a"><rect width="9" height="9"/></clipPath>',
        '<symbol id="a"><rect width="9" height="9"/></symbol>',
        '<rect width="0.3" height="0.3" x="7.1" y="7.1"/>',
    ],
)
def test_what_is_not_seen_is_left_out(body: str) -> None:
    assert lines(body) == []


def test_visibility_can_be_given_back() -> None:
    body = '<g visibility="hidden"><rect width="9" height="9"/><rect width="10" height="10" visibility="visible"/></g>'
    assert data(body) == SQUARE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<rect width="9" height="9" opacity="0.5"/>', "0.5"),
        ('<g opacity="0.5"><rect width="9" height="9" opacity="50%"/></g>', "0.25"),
        ('<rect width="9" height="9" fill-opacity="0.25"/>', "0.25"),
        ('<rect width="9" height="9" fill="#00000080"/>', "0.5"),
        ('<g fill-opacity="0.5"><rect width="9" height="9" fill="rgb(0 0 0 / 50%)" opacity="0.5"/></g>', "0.12"),
    ],
)
def test_opacity(body: str, expected: str) -> None:
    assert style(body)["opacity"] == expected


def test_strokes_scale_with_what_they_are_drawn_on() -> None:
    body = '<g transform="scale(2,8)"><line x2="9" y2="9" stroke="red" stroke-width="3"/></g>'
    assert style(body) == {"fill": "None", "stroke": "255,0,0", "stroke-width": "12", "opacity": "1"}
    assert style('<line x2="90" y2="90" stroke="red" stroke-width="0.1"/>')["stroke-width"] == "1"
    assert lines('<line x2="90" y2="90" stroke="red" stroke-width="0"/>') == []


def test_a_dot_of_a_round_stroke_stays() -> None:
    assert data('<path d="M5 5h.01" fill="none" stroke="red"/>') == "M5,5 L5,5"


def test_fill_and_stroke_that_are_not_equally_opaque_become_two_lines() -> None:
    body = '<rect width="10" height="10" stroke="red" stroke-width="3" fill-opacity="0.5"/>'
    assert lines(body) == [
        f"style=fill:0,0,0;stroke:None;stroke-width:1;opacity:0.5\td={SQUARE}",
        f"style=fill:None;stroke:255,0,0;stroke-width:3;opacity:1\td={SQUARE}",
    ]


def test_a_stroke_under_the_fill_comes_first() -> None:
    body = '<rect width="10" height="10" stroke="red" paint-order="stroke fill"/>'
    assert [line.split(";")[0] for line in lines(body)] == ["style=fill:None", "style=fill:0,0,0"]


@pytest.mark.parametrize(
    ("sheet", "attributes", "fill"),
    [
        ("rect{fill:red}", "", "255,0,0"),
        (".a{fill:red}", 'class="b a"', "255,0,0"),
        ("#a{fill:red}", 'id="a"', "255,0,0"),
        ("rect.a.b , circle{fill:red}", 'class="a b"', "255,0,0"),
        ("*{fill:red}", "", "255,0,0"),
        ("rect{fill:red}", 'fill="blue"', "255,0,0"),
        ("rect{fill:red}", 'style="fill:blue"', "0,0,255"),
        ("rect{fill:red !important}", 'style="fill:blue"', "255,0,0"),
        (".a{fill:red} rect{fill:blue}", 'class="a"', "255,0,0"),
        ("#a{fill:red} .a.b{fill:blue}", 'id="a" class="a b"', "255,0,0"),
        (".a{fill:blue} .a{fill:red}", 'class="a"', "255,0,0"),
        ("/* a } b */ rect{/**/fill:red;stroke}", "", "255,0,0"),
        ("circle{fill:red}", "", "0,0,0"),
        ("@media print{rect{fill:red} *{fill:red}} .a{stroke:none}", "", "0,0,0"),
        ("g rect{fill:red}", "", "0,0,0"),
    ],
)
def test_style_sheets(sheet: str, attributes: str, fill: str) -> None:
    assert style(f'<style>{sheet}</style><rect width="9" height="9" {attributes}/>')["fill"] == fill


def test_groups_hand_their_style_on() -> None:
    body = '<g style="fill:red;stroke:blue;stroke-width:4"><g fill="lime"><rect width="10" height="10"/></g></g>'
    assert style(body) == {"fill": "0,255,0", "stroke": "0,0,255", "stroke-width": "4", "opacity": "1"}


@pytest.mark.parametrize(
    "body",
    [
        '<defs><rect id="a" width="10" height="10"/></defs><use href="#a" x="5" y="6"/>',
        '<defs><rect id="a" width="10" height="10"/></defs><use xlink:href="#a" transform="translate(5 6)"/>',
        '<symbol id="a" viewBox="0 0 5 5"><rect width="5" height="5"/></symbol>'
        '<use href="#a" x="5" y="6" width="10" height="10"/>',
        '<svg x="5" y="6" width="10" height="10" viewBox="0 0 5 5"><rect width="100%" height="100%"/></svg>',
        '<g id="c"><rect x="5" y="6" width="10" height="10"/><use href="#c"/></g>',
        '<switch><g systemLanguage="xx"/><rect x="5" y="6" width="10" height="10"/><rect/></switch>',
        '<a href="https://example.org"><rect x="5" y="6" width="10" height="10"/></a>',
        '<use href="#gone"/><o:rect xmlns:o="urn:other" width="9"/><rect x="5" y="6" width="10" height="10"/>',
    ],
)
def test_what_is_named_elsewhere_is_drawn_where_it_is_used(body: str) -> None:
    assert data(body) == "M5,6 L15,6 L15,16 L5,16 L5,6"


def test_use_hands_its_style_on() -> None:
    body = '<defs><rect id="a" width="9" height="9"/></defs><use href="#a" fill="red"/>'
    assert style(body)["fill"] == "255,0,0"


def test_the_even_odd_rule_becomes_a_turn_of_the_hole() -> None:
    outer, inner = "M0 0H30V30H0z", "M10 10H20V20H10z"
    holed = data(f'<path fill-rule="evenodd" d="{outer}{inner}"/>')
    assert holed == "M0,0 L30,0 L30,30 L0,30 L0,0 M10,10 L10,20 L20,20 L20,10 L10,10"
    apart = data(f'<path fill-rule="evenodd" d="{outer}M40 0H50V9z"/>')
    assert apart.endswith("M40,0 L50,0 L50,9 L40,0")
    assert data(f'<path d="{outer}{inner}"/>').endswith("M10,10 L20,10 L20,20 L10,20 L10,10")


def test_a_gradient_becomes_its_mean_colour_and_that_is_told() -> None:
    stops = '<stop offset="0" stop-color="black"/><stop offset="50%" style="stop-color:white"/>'
    body = (
        f'<linearGradient id="a">{stops}</linearGradient><radialGradient id="b" href="#a"/>'
        '<rect width="9" height="9" fill="url(#b)"/>'
    )
    assert style(body)["fill"] == "191,191,191"  # half of the way on average half white, then white
    assert dict(simplify(svg(body)).unsaid) == {"a gradient, painted in its mean colour": 1}


def test_what_the_text_cannot_say_is_counted() -> None:
    body = (
        '<text>hi</text><text>ho</text><g clip-path="url(#c)"><line x2="9" stroke="red" stroke-dasharray="2"/></g>'
        '<rect width="9" height="9" filter="url(#f)"/><style>g > line{stroke:blue}</style>'
        '<rect width="9" height="9" stroke="red" transform="scale(2,1)"/>'
    )
    assert dict(simplify(svg(body)).unsaid) == {
        "text": 2,
        "a clipping path": 1,
        "dashes": 1,
        "a filter": 1,
        "a stroke of two widths": 1,
        "a style rule of a kind that is not followed": 1,
    }


def test_a_number_beyond_all_reason_is_named_with_its_line() -> None:
    with pytest.raises(DataError, match=r"heart\.svg:3: a number is too large: 1e300"):
        simplify(svg('\n<g>\n<path d="M1e300 0"/></g>'), "heart.svg")
