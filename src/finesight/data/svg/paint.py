"""What shapes are painted with: one colour each, a gradient in its mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from finesight.data.svg.colours import BLACK, Colour, mean_colour, parse_colour
from finesight.data.svg.css import StyleSheet
from finesight.data.svg.markup import Element
from finesight.data.svg.numerals import parse_share
from finesight.data.svg.style import Style, compute_style, current_colour, paint_server

_MAX_REFERENCES = 10
_DEFAULTS = {"fill": "black", "stroke": "none"}


class Paints:
    """Looks up what `fill` and `stroke` say, and counts what a colour cannot say."""

    def __init__(self, elements: Mapping[str, Element], sheet: StyleSheet, unsaid: Counter[str]) -> None:
        self._elements = elements
        self._sheet = sheet
        self._unsaid = unsaid
        self._means: dict[str, Colour | None] = {}

    def colour(self, style: Style, kind: str) -> Colour | None:
        """Return the colour of `fill` or `stroke` with its opacity; None for one that shows nothing."""
        value = style.get(kind, _DEFAULTS[kind])
        server, fallback = paint_server(value)
        colour = (server and self._server_colour(server)) or _plain_colour(fallback if server else value, style)
        if colour is None:
            return None
        colour = colour._replace(alpha=colour.alpha * parse_share(style.get(f"{kind}-opacity")))
        return colour if colour.alpha > 0 else None

    def _server_colour(self, name: str) -> Colour | None:
        """Return the mean colour of a gradient; None for what is none."""
        if (element := self._elements.get(name)) is None:
            return None
        if name not in self._means:
            self._means[name] = self._mean(element)
        if self._means[name]:
            self._unsaid["a gradient, painted in its mean colour"] += 1
        elif element.name == "pattern":
            self._unsaid["a pattern"] += 1
        return self._means[name]

    def _mean(self, element: Element | None) -> Colour | None:
        """Return the mean of a gradient's stops, which may be those of another that it refers to."""
        for _ in range(_MAX_REFERENCES):
            if element is None or element.name not in ("linearGradient", "radialGradient"):
                return None
            if stops := [self._stop(child) for child in element.children if child.name == "stop"]:
                return mean_colour(stops)
            element = find_target(element, self._elements)
        return None

    def _stop(self, element: Element) -> tuple[float, Colour]:
        style = compute_style(element, {}, self._sheet)
        colour = _plain_colour(style.get("stop-color", "black"), style) or BLACK
        alpha = colour.alpha * parse_share(style.get("stop-opacity"))
        return parse_share(element.attributes.get("offset"), 0.0), colour._replace(alpha=alpha)


def find_target(element: Element, elements: Mapping[str, Element]) -> Element | None:
    """Return what an element's `href` refers to, or None."""
    name = element.attributes.get("href", "").strip().removeprefix("#")
    return elements.get(name) if name else None


def _plain_colour(value: str, style: Style) -> Colour | None:
    return current_colour(style) if value.lower() == "currentcolor" else parse_colour(value)
