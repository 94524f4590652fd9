"""SVG: how renderers compare, and how close a drawing comes back from path-a-line text, over a folder of drawings.

    python benchmarks/svg.py FOLDER                        # every file, the renderers that are installed
    python benchmarks/svg.py FOLDER --every 10             # each tenth file
    python benchmarks/svg.py FOLDER --browser chromium     # and how far each renderer is from a browser

resvg-py comes with the extra `svg`; cairosvg, skia-python, pyvips[binary], PySide6-Essentials and svgelements are
measured where they are installed. Times are of one thread, each file alone, markup to pixels.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from finesight.data.images import decode
from finesight.data.svg.drawing import read_drawing
from finesight.data.svg.markup import read_svg
from finesight.data.svg.path import write_segment
from finesight.data.svg.path_lines import restore
from finesight.data.svg.render import render
from finesight.data.svg.simplify import simplify
from finesight.errors import DataError

SIZE_PIXELS = 256
SHEET = 6
"""Drawings on a side of the sheet that a browser is asked to draw."""
NAMED = 10
Pixels = np.ndarray
Render = Callable[[str], Pixels]
Made = TypeVar("Made")


def as_pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.float32)


def from_png(content: bytes) -> Pixels:
    return as_pixels(decode(io.BytesIO(content)))


def with_finesight(text: str) -> Pixels:
    return as_pixels(render(text, SIZE_PIXELS))


def with_resvg(text: str) -> Pixels:
    from resvg_py import svg_to_bytes

    return from_png(bytes(svg_to_bytes(svg_string=text, width=SIZE_PIXELS, height=SIZE_PIXELS, skip_system_fonts=True)))


def with_cairosvg(text: str) -> Pixels:
    from cairosvg import svg2png

    return from_png(svg2png(bytestring=text.encode(), output_width=SIZE_PIXELS, output_height=SIZE_PIXELS))


def with_skia(text: str) -> Pixels:
    import skia

    drawing = skia.SVGDOM.MakeFromStream(skia.MemoryStream(text.encode()))
    if drawing is None:
        raise ValueError("skia cannot read it")
    surface = skia.Surface(SIZE_PIXELS, SIZE_PIXELS)
    with surface as canvas:
        canvas.clear(skia.ColorWHITE)
        drawing.setContainerSize(skia.Size(SIZE_PIXELS, SIZE_PIXELS))
        drawing.render(canvas)
    return from_png(bytes(surface.makeImageSnapshot().encodeToData()))


def with_vips(text: str) -> Pixels:
    import pyvips

    width = pyvips.Image.svgload_buffer(text.encode()).width
    image = pyvips.Image.svgload_buffer(text.encode(), scale=SIZE_PIXELS / width)
    return from_png(image.pngsave_buffer())


def with_qt(text: str) -> Pixels:
    from PySide6.QtCore import QBuffer, QByteArray
    from PySide6.QtGui import QColor, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    drawing = QSvgRenderer(QByteArray(text.encode()))
    if not drawing.isValid():
        raise ValueError("Qt cannot read it")
    image = QImage(SIZE_PIXELS, SIZE_PIXELS, QImage.Format.Format_ARGB32)
    image.fill(QColor("white"))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    drawing.render(painter)
    painter.end()
    buffer = QBuffer()
    image.save(buffer, "PNG")
    return from_png(bytes(buffer.data()))


RENDERERS: dict[str, tuple[str, Render]] = {
    "resvg-py": ("resvg_py", with_resvg),
    "cairosvg": ("cairosvg", with_cairosvg),
    "skia-python": ("skia", with_skia),
    "pyvips (librsvg)": ("pyvips", with_vips),
    "PySide6 (Qt)": ("PySide6", with_qt),
    "finesight: resvg-py, checked, in its own process": ("resvg_py", with_finesight),
}
FAULTS = (ValueError, OSError, RuntimeError, TypeError, ArithmeticError, LookupError, SyntaxError, DataError)
"""What the renderers raise on a drawing that they cannot draw."""


def try_all(drawings: dict[str, str], convert: Callable[[str], Made]) -> tuple[dict[str, Made], float]:
    """Return what succeeds, and the milliseconds that a file takes on average."""
    made = {}
    begun = time.perf_counter()
    for name, text in drawings.items():
        try:
            made[name] = convert(text)
        except FAULTS as error:
            print(f"  {name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
    return made, 1000 * (time.perf_counter() - begun) / len(drawings)


def draw_in_browser(drawings: dict[str, str], browser: str) -> dict[str, Pixels]:
    """Return the browser's pictures, cut out of screenshots of many at once."""
    pictures: dict[str, Pixels] = {}
    names = list(drawings)
    side = SHEET * SIZE_PIXELS
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        for first in range(0, len(names), SHEET**2):
            some = names[first : first + SHEET**2]
            encoded = [base64.b64encode(drawings[name].encode()).decode() for name in some]
            images = "".join(f'<img src="data:image/svg+xml;base64,{text}">' for text in encoded)
            style = f"body{{margin:0;width:{side}px;line-height:0;background:white}}img{{width:{SIZE_PIXELS}px}}"
            page.write_text(f"<!DOCTYPE html><style>{style}</style>{images}", encoding="utf-8")
            options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"]
            command = [browser, *options, f"--window-size={side},{side}", f"--screenshot={shot}", page.as_uri()]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            sheet = from_png(shot.read_bytes())
            for place, name in enumerate(some):
                top, left = place // SHEET * SIZE_PIXELS, place % SHEET * SIZE_PIXELS
                pictures[name] = sheet[top : top + SIZE_PIXELS, left : left + SIZE_PIXELS]
    return pictures


def differences(a: dict[str, Pixels], b: dict[str, Pixels]) -> dict[str, float]:
    """Return the mean absolute difference over pixels and channels, 0 to 255, of each file that both have."""
    return {name: float(np.abs(a[name] - b[name]).mean()) for name in a.keys() & b.keys()}


def spread(values: dict[str, float]) -> str:
    numbers = list(values.values())
    figures = [np.mean(numbers), np.median(numbers), np.percentile(numbers, 95), max(numbers)]
    return " | ".join(f"{figure:.2f}" for figure in figures)


def exactly(text: str) -> str:
    """Return what finesight reads of a drawing, unrounded, as an SVG: to tell reading from rounding."""
    paths = []
    for shape in read_drawing(text).shapes:
        paints = []
        for kind, colour in (("fill", shape.fill), ("stroke", shape.stroke)):
            red, green, blue, alpha = colour or (0, 0, 0, 1)
            paints.append(f'{kind}="{f"rgb({red},{green},{blue})" if colour else "none"}" {kind}-opacity="{alpha}"')
        rule = ' fill-rule="evenodd"' if shape.even_odd else ""
        stroke = f'stroke-width="{shape.stroke_width}" opacity="{shape.opacity}"'
        paths.append(f'<path {" ".join(paints)} {stroke}{rule} d="{" ".join(map(write_segment, shape.path))}"/>')
    return framed(paths)


def with_svgelements(text: str) -> str:
    """Return what svgelements reads of a drawing, as an SVG of plain paths."""
    import svgelements

    paths = []
    size = {"width": 512, "height": 512}
    for element in svgelements.SVG.parse(io.StringIO(text), reify=True, **size).elements():
        if not isinstance(element, svgelements.Shape):
            continue
        paints = []
        for kind, colour in (("fill", element.fill), ("stroke", element.stroke)):
            shown = colour is not None and colour.value is not None
            paint = f"rgb({colour.red},{colour.green},{colour.blue})" if shown else "none"
            paints.append(f'{kind}="{paint}" {kind}-opacity="{colour.opacity if shown else 1}"')
        width = element.stroke_width if element.stroke_width is not None else 1
        data = abs(svgelements.Path(element)).d()
        if data:
            paths.append(f'<path {" ".join(paints)} stroke-width="{width}" d="{data}"/>')
    return framed(paths)


def framed(paths: list[str]) -> str:
    head = 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" stroke-linecap="round" stroke-linejoin="round"'
    return f"<svg {head}>{''.join(paths)}</svg>"


def compare_renderers(drawings: dict[str, str], browser: str | None) -> dict[str, Pixels]:
    """Print the table of renderers, and return the chosen one's pictures."""
    chosen, _ = try_all(drawings, with_resvg)
    references = {"resvg-py": chosen}
    if browser:
        references["the browser"] = draw_in_browser(drawings, browser)
    titles = "".join(f" | from {name}: mean | median | 95 % | worst" for name in references)
    print(f"\n| renderer | failed | ms a file{titles} |\n|---|---|---{'|---' * 4 * len(references)}|")
    for name, (module, draw) in RENDERERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"| {name} | not installed |", " | " * (1 + 4 * len(references)))
            continue
        importlib.import_module(module)
        draw(next(iter(drawings.values())))
        pictures, milliseconds = try_all(drawings, draw)
        apart = " | ".join(spread(differences(pictures, reference)) for reference in references.values())
        print(f"| {name} | {len(drawings) - len(pictures)} | {milliseconds:.1f} | {apart} |", flush=True)
    return chosen


def compare_round_trips(drawings: dict[str, str], originals: dict[str, Pixels]) -> None:
    """Print how close drawings come back: through the text, and through readers that do not round."""
    unsaid: Counter[str] = Counter()
    letters: list[int] = []

    def through_text(text: str) -> str:
        simplified = simplify(text)
        unsaid.update(simplified.unsaid.keys())
        letters.append(len(simplified.text))
        return restore(simplified.text)

    def with_plain_ends(text: str) -> str:
        return restore(simplify(text).text).replace(' stroke-linecap="round" stroke-linejoin="round"', "")

    ways: dict[str, Callable[[str], str]] = {
        "path-a-line text": through_text,
        "path-a-line text, strokes with SVG's own ends": with_plain_ends,
        "read by finesight, not rounded": exactly,
    }
    if importlib.util.find_spec("svgelements"):
        ways["read by svgelements, not rounded"] = with_svgelements
    print("\n| way | failed | ms a file there and back | mean | median | 95 % | worst |\n|---|---|---|---|---|---|---|")
    worst: dict[str, float] = {}
    for name, way in ways.items():
        restored, milliseconds = try_all(drawings, way)
        apart = differences(try_all(restored, with_resvg)[0], originals)
        print(f"| {name} | {len(drawings) - len(restored)} | {milliseconds:.1f} | {spread(apart)} |", flush=True)
        worst = worst or apart
    named = sorted(worst.items(), key=lambda item: -item[1])[:NAMED]
    print("\nfarthest through the text:", ", ".join(f"{name} {value:.2f}" for name, value in named))
    quantiles = np.percentile(letters, [0, 50, 95, 100])
    print("characters of text: least {:.0f}, median {:.0f}, 95 % {:.0f}, most {:.0f}".format(*quantiles))
    print("files with something that the text cannot say:", dict(unsaid) or "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the .svg files are, at any depth")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take each Nth file alone")
    parser.add_argument("--browser", metavar="PROGRAM", help="a Chromium, to compare renderers with")
    options = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    files = sorted(options.folder.rglob("*.svg"))[:: options.every]
    drawings = {path.stem: read_svg(path) for path in files}
    print(f"{len(drawings):,} drawings, {SIZE_PIXELS} pixels a side; differences are of 0 to 255")
    originals = compare_renderers(drawings, options.browser)
    compare_round_trips(drawings, originals)


if __name__ == "__main__":
    main()
