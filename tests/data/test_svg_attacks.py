"""Files made to read other files, to call elsewhere, to grow, or to hang: each ends in a `DataError`, soon."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finesight.data.svg.markup import MAX_BYTES, parse_svg, read_svg
from finesight.data.svg.path_lines import restore
from finesight.data.svg.render import render
from finesight.data.svg.simplify import simplify
from finesight.errors import DataError

NAMESPACE = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def svg(body: str, before: str = "") -> str:
    return f'{before}<svg {NAMESPACE} viewBox="0 0 100 100">{body}</svg>'


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
REFUSED = {
    "billion laughs": (svg("<text>&l9;</text>", f"<!DOCTYPE svg [{LAUGHS}]>"), "declares an entity"),
    "an entity from a file": (
        svg("<text>&x;</text>", '<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>'), "declares an entity",
    ),
    "a parameter entity": (svg("", '<!DOCTYPE svg [<!ENTITY % x SYSTEM "x.dtd"> %x;]>'), "declares an entity"),
    "an entity of an external DTD": (
        svg("<text>&x;</text>", '<!DOCTYPE svg SYSTEM "x.dtd">'), "refers to an entity",
    ),
    "a picture elsewhere": (svg('<image href="https://example.org/a.png"/>'), "outside the file: https://example.org"),
    "a picture on disk": (svg('<image xlink:href="/etc/passwd"/>'), "outside the file: /etc/passwd"),
    "an SVG in an SVG": (svg('<image href="data:image/svg+xml;base64,PHN2Zy8+"/>'), "outside the file"),
    "a part of another file": (svg('<use href="other.svg#a"/>'), "outside the file: other.svg#a"),
    "a paint elsewhere": (svg('<rect fill="url( \'https://example.org/#a\')"/>'), "outside the file"),
    "a style elsewhere": (svg("<style>rect{fill:URL(//example.org/a)}</style>"), "outside the file"),
    "an import": (svg("<style>@Import 'a.css';</style>"), "outside the file: @import"),
    "a style sheet elsewhere": (svg("", '<?xml-stylesheet href="a.css"?>'), "outside the file: xml-stylesheet"),
    "great depth": (svg("<g>" * 101 + "</g>" * 101), "nested deeper than 100 levels"),
    "great depth of strangers": (svg('<o xmlns="urn:o">' * 101 + "</o>" * 101), "nested deeper than 100 levels"),
    "many elements": (svg("<g/>" * 20_001), "more than 20,000 elements"),
    "great size": (svg(" " * MAX_BYTES), "larger than 2 MiB"),
    "no SVG": ("<html/>", "the root is <html>"),
    "a stranger": ('<svg xmlns="urn:o"/>', "the root is of another namespace"),
    "no XML": ("style=fill:None", "not well-formed"),
    "nothing": ("", "not well-formed"),
    "a torn file": (svg("<g>")[:-8], "not well-formed"),
    "half a letter": (svg("\ud800"), "not text"),
}  # fmt: skip


@pytest.mark.parametrize("attack", REFUSED)
@pytest.mark.parametrize("reader", [parse_svg, simplify, lambda text, name: render(text, 32, name)])
def test_what_is_unsafe_is_refused_with_the_reason(attack: str, reader: Callable[[str, str], object]) -> None:
    text, told = REFUSED[attack]
    with pytest.raises(DataError) as caught:
        reader(text, "drawn.svg")
    assert caught.value.message.startswith("drawn.svg:") and told in caught.value.message


def repeated(levels: int, what: str = "") -> str:
    """Return what is ten times itself, level after level."""
    groups = "".join(f'<g id="a{n}" {what}>' + f'<use href="#a{n - 1}"/>' * 10 + "</g>" for n in range(1, levels + 1))
    return f'<defs><rect id="a0" width="9" height="9"/>{groups}</defs><use href="#a{levels}"/>'


CHAIN = "".join(f'<g id="a{n}"><use href="#a{n + 1}"/></g>' for n in range(300)) + '<rect id="a300" width="9"/>'
ENDLESS = {
    "groups that repeat without end": (repeated(9).replace("rect", "g"), "unfolded, the drawing is larger"),
    "shapes that repeat without end": (repeated(9), "more than 20,000 segments"),
    "a long chain": (f'<defs>{CHAIN}</defs><use href="#a0"/>', "nested deeper"),
    "a path repeated": (
        f'<defs><path id="a" d="M0 0{"h1" * 9_000}"/></defs>' + '<use href="#a"/>' * 9, "more than 20,000 segments",
    ),
    "many rules": ("<style>" + ".a{fill:red}" * 1_001 + "</style>", "more than 1,000 style rules"),
    "transforms on transforms": ('<g transform="scale(1e9)">' * 9 + "</g>" * 9, "transforms scale beyond all reason"),
    "a number too large": ('<rect width="1e10" height="1"/>', "a number is too large"),
    "a number too long": (f'<rect width="{"1" * 999_999}" height="1"/>', "a number is too large"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ENDLESS)
@pytest.mark.timeout(20)
def test_what_grows_beyond_all_reason_is_refused(attack: str) -> None:
    body, told = ENDLESS[attack]
    with pytest.raises(DataError, match=told):
        simplify(svg(body))


COSTLY = {
    "turbulence": '<filter id="f"><feTurbulence numOctaves="999999"/></filter><path d="M0 0h9v9" filter="url(#f)"/>',
    "what the renderer stumbles over": '<path d="M0 0L99 99-1.7e16 0-4e16 0 0-1.7e16" stroke="red"/>',
}  # fmt: skip


@pytest.mark.parametrize("attack", COSTLY)
@pytest.mark.timeout(20)
def test_what_would_render_for_hours_or_not_at_all_is_given_up(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finesight.data.svg.render.TIME_LIMIT_SECONDS", 1.0)
    with pytest.raises(DataError, match=r"a\.svg: cannot be rendered: it brings the renderer down, or takes longer"):
        render(svg(COSTLY[attack]), 200, "a.svg")
    assert render(svg('<rect width="100" height="100"/>'), 32).getpixel((9, 9)) == (0, 0, 0), "it does not come back"


FORKED = """
import os, sys
from finesight.data.svg.render import render
square = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
render(square, 32)
child = os.fork()
drawn = [render(square, size).size == (size, size) for size in range(16 if child else 40, 64)]
if child and os.waitpid(child, 0)[1]:
    sys.exit("the child failed")
sys.exit(0 if all(drawn) else "drawings were mixed up")
"""


def test_a_process_forked_off_draws_for_itself() -> None:
    outcome = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_rendering_that_repeats_without_end_is_refused() -> None:
    masked = f'<mask id="m">{repeated(9)}</mask><rect mask="url(#m)" width="9" height="9"/>'
    for body in (repeated(9), masked):
        with pytest.raises(DataError, match="cannot be rendered"):
            render(svg(body), 32)


LONG = 400_000
SLOW_TO_READ = {
    "letters for a transform": f'<rect transform="{"a" * LONG}" width="9" height="9"/>',
    "open brackets for a transform": f'<rect transform="{"scale(" * (LONG // 6)}" width="9" height="9"/>',
    "blanks in a path": f'<path d="M0 0{" " * LONG}!"/>',
    "commas in a path": f'<path d="M0 0{"," * LONG}!"/>',
    "digits in a list": f'<polygon points="{"1 " * (LONG // 2)}x"/>',
    "letters for a style": f"<style>{'a' * LONG}</style>",
    "half comments": f"<style>{'/*' * (LONG // 2)}</style>",
    "brackets for a style": f"<style>{'{' * LONG}{'}' * LONG}</style>",
    "semicolons": f'<rect style="{";" * LONG}" width="9" height="9"/>',
    "exclamations": f'<rect style="fill:{"!" * LONG}" width="9" height="9"/>',
    "letters for a colour": f'<rect fill="rgb({"1," * LONG}" width="9" height="9"/>',
    "half references": f'<rect fill="{"url(#" * (LONG // 5)}" width="9" height="9"/>',
    "many lines under the even-odd rule": f'<path fill-rule="evenodd" d="{"M0 0h9v9z" * 4_000}"/>',
    "many arcs": f'<path d="M0 0{"a9.5 5 7 001.5 1" * 8_000}"/>',
    "many gradients in a row": "".join(f'<linearGradient id="g{n}" href="#g{n + 1}"/>' for n in range(9_000))
    + '<rect width="9" height="9" fill="url(#g0)"/>',
    "many classes": "<style>" + "".join(f".c{n}{{fill:red}}" for n in range(900)) + "</style>"
    + f'<rect class="{" ".join(f"c{n}" for n in range(900))}"/>' * 99,
}  # fmt: skip


@pytest.mark.parametrize("attack", SLOW_TO_READ)
@pytest.mark.timeout(30)
def test_long_nonsense_is_read_in_one_go(attack: str) -> None:
    """Time that grows with the square of the length would be hours here."""
    text = svg(SLOW_TO_READ[attack])
    for reader in (simplify, lambda text: render(text, 32)):
        try:
            reader(text)
        except DataError as error:
            assert error.message


@pytest.mark.timeout(20)
def test_long_nonsense_as_path_lines() -> None:
    for text in ("style=" + " d" * LONG, "style=fill:" + "1," * LONG + "\td=M0,0 L1,1", "style=" + "d=" * LONG):
        with pytest.raises(DataError):
            restore(text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x1f\x8b\x08rest", "compressed"),
        (b'<?xml version="1.0" encoding="no-such-code"?><svg/>', "not text in no-such-code"),
        (b"<svg>\xff</svg>", "not text in utf-8"),
        (b" " * (MAX_BYTES + 1), "larger than 2 MiB"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "a.svg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        read_svg(path)
    assert caught.value.message.startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.svg: no such file"):
        read_svg(tmp_path / "gone.svg")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_a_file_is_read_as_it_says(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.svg"
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>\n' + svg(
        '<rect id="é" width="10" height="10"/><use href="#é"/>'
    )
    path.write_bytes(text.encode(encoding))
    assert len(simplify(read_svg(path)).text.splitlines()) == 2


def test_an_old_doctype_without_entities_is_harmless() -> None:
    doctype = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    assert simplify(svg('<rect width="9" height="9"/>', doctype)).text


NAMES = st.sampled_from(
    ["g", "svg", "use", "path", "rect", "circle", "ellipse", "line", "polygon", "symbol", "defs", "style", "a",
     "linearGradient", "stop", "switch", "text", "clipPath", "mask", "marker", "pattern"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-20, 120).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.sampled_from(["1e9", "-1e9", "1e-300", "1e308", "9" * 400, "50%", "3em", "2mm", ".", "", "-", "1e"]),
)
PATHS = st.lists(st.one_of(st.sampled_from("MmLlHhVvCcSsQqTtAaZz ,01"), NUMBERS), max_size=30).map(
    lambda words: "M0 0" + " ".join(words)
)
TRANSFORMS = st.lists(
    st.tuples(
        st.sampled_from(["matrix", "translate", "scale", "rotate", "skewX", "skewY"]), st.lists(NUMBERS, max_size=6)
    ).map(lambda call: f"{call[0]}({' '.join(call[1])})"),
    max_size=3,
).map(" ".join)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("x", "y", "width", "height", "r", "rx", "cx", "x2", "y2", "stroke-width", "opacity", "offset", "font-size",
             "stroke-opacity"),
            NUMBERS,
        ),
        "d": PATHS,
        "points": PATHS,
        "transform": TRANSFORMS,
        "viewBox": st.lists(NUMBERS, min_size=4, max_size=4).map(" ".join),
        "preserveAspectRatio": st.sampled_from(["none", "xMinYMax slice", "xMidYMid", "x", ""]),
        "id": st.sampled_from("abc"),
        "href": st.sampled_from(["#a", "#b", "#c", "#", "", "#d"]),
        "fill": st.sampled_from(["red", "none", "url(#a)", "url(#b) blue", "rgb(1,2)", "inherit", "hsl(9e999,1%,1%)"]),
        "stroke": st.sampled_from(["blue", "currentColor", "url(#c)", "#12345"]),
        "style": st.text("fil:;!ro(#a)", max_size=20),
        "class": st.text("ab ", max_size=5),
        "fill-rule": st.sampled_from(["evenodd", "nonzero"]),
        "marker-end": st.sampled_from(["url(#a)", "none"]),
        "clip-path": st.sampled_from(["url(#a)", "url(#b)"]),
        "mask": st.sampled_from(["url(#c)", "url(#b)"]),
    },
)  # fmt: skip


def write(name: str, attributes: dict[str, str], children: list[str]) -> str:
    said = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{said}>{''.join(children)}</{name}>"


LEAVES = st.builds(write, NAMES, ATTRIBUTES, st.just([]))
TREES = st.recursive(
    LEAVES, lambda below: st.builds(write, NAMES, ATTRIBUTES, st.lists(below, max_size=4)), max_leaves=12
)
QUICK = settings(
    max_examples=150, deadline=5_000, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def read_every_way(text: str) -> None:
    """Whatever it is, it ends in a drawing or in a `DataError`; what is simplified can be restored and drawn."""
    try:
        simplified = simplify(text).text
    except DataError as error:
        assert error.message
    else:
        restored = restore(simplified)
        assert simplify(restored).text == simplified
        render(restored, 16)
    try:
        render(text, 16)
    except DataError as error:
        assert error.message


@QUICK
@given(TREES, st.one_of(st.just('viewBox="0 0 100 100"'), ATTRIBUTES.map(lambda given: write("", given, [])[1:-4])))
def test_any_tree_of_elements_is_drawn_or_refused(body: str, attributes: str) -> None:
    read_every_way(f"<svg {NAMESPACE} {attributes}>{body}</svg>")


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_are_drawn_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.svg"
    for wrapped in (content, b"<svg>" + content + b"</svg>", b"\xff\xfe" + content):
        path.write_bytes(wrapped)
        try:
            read_every_way(read_svg(path))
        except DataError as error:
            assert error.message


@QUICK
@given(st.text("stylefill=:;d\t ML0123456789,.-eNone\n()rgb", max_size=80))
def test_any_text_is_restored_or_refused(text: str) -> None:
    for given_text in (text, f"style={text}\td=M0,0 L1,1", f"style=fill:None\td=M0,0 {text}"):
        try:
            restore(given_text)
        except DataError as error:
            assert error.message
