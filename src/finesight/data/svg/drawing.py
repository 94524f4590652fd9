"""A drawing resolved: every shape that it shows, on the canvas, with its colours, in the order of painting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from finesight.data.svg.affine import Affine, parse_transform
from finesight.data.svg.colours import Colour
from finesight.data.svg.css import read_style_sheet
from finesight.data.svg.markup import MAX_DEPTH, Element, parse_svg
from finesight.data.svg.numerals import parse_length, parse_share
from finesight.data.svg.paint import Paints, find_target
from finesight.data.svg.path import Path, map_path
from finesight.data.svg.shapes import SHAPES, outline
from finesight.data.svg.style import Style, compute_style
from finesight.data.svg.viewport import Viewport, open_root, open_window
from finesight.errors import DataError

CANVAS = 512
"""Side of the canvas in units."""
MAX_UNFOLDED = 4 * 1024**2
"""Characters of markup, with what `<use>` repeats counted as often as it is drawn."""
MAX_SEGMENTS = 20_000

_FLAT = 1e-12
_EVEN = 0.9
"""Where a transform stretches more than that, a stroke's width depends on its direction; the text knows the mean."""
_GROUPS = frozenset(("g", "a", "switch"))
_UNSAID_ELEMENTS = {"text": "text", "image": "an embedded picture", "foreignObject": "a foreign object"}
_UNSAID_PROPERTIES = {
    "clip-path": "a clipping path",
    "mask": "a mask",
    "filter": "a filter",
    "transform-origin": "a transform's origin",
}
_UNSAID_OF_SHAPES = {"stroke-dasharray": "dashes", "marker-start": "markers", "marker-end": "markers"}


@dataclass(frozen=True, slots=True)
class Shape:
    """An outline on the canvas, and how it is painted."""

    path: Path
    fill: Colour | None
    stroke: Colour | None
    stroke_width: float
    """In units of the canvas."""
    opacity: float
    """Of the shape as a whole, 0 to 1, its groups included; the colours' own is in their `alpha`."""
    even_odd: bool = False
    stroke_first: bool = False


@dataclass(slots=True)
class Drawing:
    """What a drawing shows, and how often it holds something that shapes of one colour cannot say."""

    shapes: list[Shape] = field(default_factory=list)
    unsaid: Counter[str] = field(default_factory=Counter)


def read_drawing(text: str, name: str = "SVG") -> Drawing:
    """Return the shapes of an SVG on a canvas of 512×512; `name` is what errors call it.

    A group's opacity becomes that of its members, a gradient its mean colour. Raises `DataError`, with the line, for
    what `parse_svg` refuses, for numbers beyond all reason, and for a drawing that `<use>` unfolds beyond 4 MiB of
    markup or 20,000 segments.
    """
    walker = _Walker(parse_svg(text, name))
    try:
        return walker.draw()
    except DataError as error:
        raise DataError(f"{name}:{walker.line}: {error.message}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Place:
    """Where and how an element is drawn."""

    affine: Affine
    viewport: Viewport
    style: Style
    """Of the parent."""
    opacity: float


class _Walker:
    def __init__(self, root: Element) -> None:
        self.line = root.line
        """Of the element that is being drawn."""
        self._root = root
        self._elements: dict[str, Element] = {}
        for element in root.walk():
            self._elements.setdefault(element.attributes.get("id", ""), element)
        self._drawing = Drawing()
        self._open: list[Element] = []
        self._unfolded = self._segments = 0

    def draw(self) -> Drawing:
        self._sheet = read_style_sheet(self._root)
        self._paints = Paints(self._elements, self._sheet, self._drawing.unsaid)
        if self._sheet.skipped:
            self._drawing.unsaid["a style rule of a kind that is not followed"] = len(self._sheet.skipped)
        if opened := open_root(self._root, CANVAS):
            style = compute_style(self._root, {}, self._sheet)
            self._draw_children(self._root, _Place(*opened, style, 1.0), style)
        self._drawing.unsaid = +self._drawing.unsaid  # without what was counted zero times
        return self._drawing

    def _visit(self, element: Element, place: _Place, asked: Mapping[str, str] | None = None) -> None:
        """Draw an element; `asked` holds the attributes of the `<use>` that names it."""
        self.line = element.line
        self._unfolded += 16 + sum(map(len, element.attributes.values()))
        if self._unfolded > MAX_UNFOLDED:
            raise DataError(f"unfolded, the drawing is larger than {MAX_UNFOLDED // 1024**2} MiB")
        style = compute_style(element, place.style, self._sheet)
        affine = place.affine.after(parse_transform(style.get("transform", "")))
        if style.get("display") == "none" or not abs(affine.determinant) > _FLAT:
            return
        place = replace(place, affine=affine)
        match element.name:
            case name if name in SHAPES:
                self._draw_shape(element, place, style)
            case name if name in _GROUPS:
                self._draw_children(element, place, style)
            case "svg":
                self._draw_window(element, place, style, asked or {})
            case "symbol" if asked is not None:
                self._draw_window(element, place, style, asked)
            case "use":
                self._draw_use(element, place, style)
            case name if name in _UNSAID_ELEMENTS:
                self._drawing.unsaid[_UNSAID_ELEMENTS[name]] += 1

    def _draw_children(self, element: Element, place: _Place, style: Style) -> None:
        inside = self._enter(element, place, style)
        if inside.opacity > 0:
            for child in _chosen(element) if element.name == "switch" else element.children:
                self._visit(child, inside)
        self._open.pop()

    def _draw_use(self, element: Element, place: _Place, style: Style) -> None:
        target, attributes = find_target(element, self._elements), element.attributes
        if target is None or any(opened is target for opened in self._open):
            return  # What refers to nothing, or to what it is part of, is not drawn.
        inside = self._enter(element, place, style)
        shift = place.viewport.point(attributes.get("x"), attributes.get("y"))
        self._visit(target, replace(inside, affine=inside.affine.after(Affine(shift=shift))), asked=attributes)
        self._open.pop()

    def _draw_window(self, element: Element, place: _Place, style: Style, asked: Mapping[str, str]) -> None:
        """Draw a nested `<svg>` or a `<symbol>`; a `<use>` may ask for another size."""
        own, outer = element.attributes, place.viewport
        width = outer.across(asked.get("width", own.get("width", "100%")))
        height = outer.down(asked.get("height", own.get("height", "100%")))
        window = Viewport(outer.width if width is None else width, outer.height if height is None else height)
        if opened := open_window(own, window):
            affine, viewport = opened
            corner = outer.point(own.get("x"), own.get("y")) if element.name == "svg" else 0j
            affine = place.affine.after(Affine(shift=corner)).after(affine)
            self._draw_children(element, replace(place, affine=affine, viewport=viewport), style)

    def _draw_shape(self, element: Element, place: _Place, style: Style) -> None:
        opacity = place.opacity * parse_share(style.get("opacity"))
        viewport = replace(place.viewport, font_size=parse_length(style.get("font-size"), 16.0) or 16.0)
        width = viewport.along(style.get("stroke-width"))
        width = 1.0 if width is None or width < 0 else width
        fill = None if element.name == "line" else self._paints.colour(style, "fill")
        stroke = self._paints.colour(style, "stroke") if width else None
        visible = opacity > 0 and style.get("visibility", "visible") == "visible" and (fill or stroke)
        path = outline(element.name, element.attributes, viewport) if visible else []
        self._segments += len(path)
        if self._segments > MAX_SEGMENTS:
            raise DataError(f"more than {MAX_SEGMENTS:,} segments")
        if not path:
            return
        self._count_unsaid(style, _UNSAID_PROPERTIES)
        if stroke:
            self._count_unsaid(style, _UNSAID_OF_SHAPES)
            self._drawing.unsaid["a stroke of two widths"] += place.affine.evenness < _EVEN
        mapped, on_canvas = map_path(path, place.affine), width * place.affine.scale
        even_odd, stroke_first = style.get("fill-rule") == "evenodd", _stroke_first(style)
        self._drawing.shapes.append(Shape(mapped, fill, stroke, on_canvas, opacity, even_odd, stroke_first))

    def _enter(self, element: Element, place: _Place, style: Style) -> _Place:
        """Return where the children of an element are drawn, and note that it is open."""
        self._open.append(element)
        if len(self._open) > MAX_DEPTH:
            raise DataError(f"unfolded, the drawing is nested deeper than {MAX_DEPTH} levels")
        self._count_unsaid(style, _UNSAID_PROPERTIES)
        return replace(place, style=style, opacity=place.opacity * parse_share(style.get("opacity")))

    def _count_unsaid(self, style: Style, properties: Mapping[str, str]) -> None:
        for name, said in properties.items():
            if style.get(name, "none") != "none":
                self._drawing.unsaid[said] += 1


def _chosen(switch: Element) -> list[Element]:
    """Return the first child that asks for nothing, or for English."""
    for child in switch.children:
        language = child.attributes.get("systemLanguage", "en").lower()
        if language.startswith("en") and not child.attributes.get("requiredExtensions"):
            return [child]
    return []


def _stroke_first(style: Style) -> bool:
    order = style.get("paint-order", "normal").split()
    return "stroke" in order and ("fill" not in order or order.index("stroke") < order.index("fill"))
