"""Real drawings: simplified, restored and rendered, they look as they did."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy
import pytest
from PIL import Image

from finesight.data.scenes.plan import plan_scene
from finesight.data.scenes.vector import scene_paths, scene_svg
from finesight.data.svg.markup import read_svg
from finesight.data.svg.path_lines import restore
from finesight.data.svg.render import render
from finesight.data.svg.simplify import simplify
from finesight.errors import DataError, UserError

SIZE_PIXELS = 128
EVERY = 10
"""Of the 1,500 files, each so manieth is drawn; docs/svg.md holds the figures for all."""
LINE = re.compile(
    r"style=fill:(None|[0-9]+,[0-9]+,[0-9]+);stroke:(None|[0-9]+,[0-9]+,[0-9]+);stroke-width:[0-9]+;opacity:[0-9.]+"
    r"\td=M-?[0-9]+,-?[0-9]+( ([MLCA])-?[0-9]+(,-?[0-9]+)*)+"
)


@pytest.fixture
def emoji(shared: Path) -> list[Path]:
    folder = shared / "data" / "svg_openmoji" / "color" / "svg"
    if not folder.is_dir():
        pytest.skip("the real drawings, ../shared/data/svg_openmoji, are not there")
    return sorted(folder.glob("*.svg"))[::EVERY]


def difference(a: Image.Image, b: Image.Image) -> float:
    """Return how far two pictures are apart: the mean over pixels and channels, 0 to 255."""
    return float(numpy.abs(numpy.asarray(a, float) - numpy.asarray(b, float)).mean())


def test_real_drawings_look_as_they_did(emoji: list[Path]) -> None:
    differences = {}
    for path in emoji:
        original = read_svg(path)
        simplified = simplify(original, path.name).text
        assert all(LINE.fullmatch(line) for line in simplified.splitlines()), path.name
        assert simplify(restore(simplified)).text == simplified, path.name
        differences[path.name] = difference(render(original, SIZE_PIXELS), render(restore(simplified), SIZE_PIXELS))
    assert len(differences) == 150
    worst = max(differences, key=lambda name: differences[name])
    assert numpy.mean(list(differences.values())) < 1.0
    assert differences[worst] < 4.0, worst


def test_the_measure_tells_another_drawing_apart(emoji: list[Path]) -> None:
    pictures = [render(read_svg(path), SIZE_PIXELS) for path in emoji[:20]]
    assert min(difference(a, b) for a, b in itertools.pairwise(pictures)) > 4.0


def test_generated_scenes_become_the_lines_that_are_generated_for_them() -> None:
    for number in range(30):
        scene = plan_scene(number)
        simplified = simplify(scene_svg(scene)).text.splitlines()
        assert simplified[-len(scene.things) :] == scene_paths(scene).splitlines()


def test_a_picture_lies_in_the_middle_of_white() -> None:
    wide = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="40" height="20" fill="red"/></svg>'
    picture = render(wide, 64)
    assert (picture.size, picture.mode) == ((64, 64), "RGB")
    assert [picture.getpixel((32, y)) for y in (8, 15, 16, 47, 48)] == [
        (255, 255, 255), (255, 255, 255), (255, 0, 0), (255, 0, 0), (255, 255, 255),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    [
        'viewBox="0 0 10 30"',
        'viewBox="0 0 30 10"',
        'width="10" height="20"',
        'width="3cm" height="60" viewBox="0 0 9 9"',
        'viewBox="1 1 8 8" width="90"',
        'viewBox="0 0 9 9" width="50" height="100" preserveAspectRatio="xMaxYMax"',
        'viewBox="0 0 9 9" width="50" height="100" preserveAspectRatio="none"',
    ],
)
def test_simplified_drawings_lie_where_the_renderer_puts_them(attributes: str) -> None:
    body = '<rect x="2" y="2" width="6" height="3" fill="red" transform="rotate(20 5 5) skewX(10)"/>'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'
    again = restore(simplify(drawing).text)
    assert difference(render(drawing, 256), render(again, 256)) < 0.7


def test_sizes_beyond_reason_are_refused() -> None:
    for size in (0, 5_000):
        with pytest.raises(UserError, match="pixels"):
            render("<svg/>", size)


def test_what_has_no_extent_is_refused() -> None:
    with pytest.raises(DataError, match=r"flat\.svg: cannot be rendered"):
        render('<svg xmlns="http://www.w3.org/2000/svg" width="0" height="9"/>', 32, "flat.svg")


def test_a_missing_renderer_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="resvg-py") as caught:
        render('<svg xmlns="http://www.w3.org/2000/svg"/>', 32)
    assert caught.value.hint == "pip install 'finesight[svg]'"
