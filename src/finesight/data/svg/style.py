"""What is said of an element's look: attributes, rules, its own `style`, and what it inherits."""

from __future__ import annotations

from collections.abc import Mapping

from finesight.data.svg.colours import BLACK, Colour, parse_colour
from finesight.data.svg.css import Declarations, StyleSheet, overlay, parse_declarations
from finesight.data.svg.markup import Element

Style = Mapping[str, str]
"""Property to value, as written."""

_INHERITED = frozenset(
    ("color", "fill", "fill-opacity", "fill-rule", "font-size", "marker-end", "marker-mid", "marker-start",
     "paint-order", "stroke", "stroke-dasharray", "stroke-opacity", "stroke-width", "visibility")
)  # fmt: skip
_OWN = frozenset(
    ("clip-path", "display", "filter", "mask", "opacity", "stop-color", "stop-opacity", "transform", "transform-origin")
)
_PAINTS = ("fill", "stroke")
_COLOURS = ("color", "stop-color")


def compute_style(element: Element, parent: Style, sheet: StyleSheet) -> dict[str, str]:
    """Return an element's style. Its `style` attribute wins over the rules, those over its other attributes.

    A colour that is none is passed over, as CSS asks for.
    """
    attributes: Declarations = {
        name: (value.strip(), False) for name, value in element.attributes.items() if name in _INHERITED or name in _OWN
    }
    own = element.attributes.get("style")
    said = overlay(attributes, sheet.declarations_for(element), parse_declarations(own) if own else {})
    style = {name: value for name, value in parent.items() if name in _INHERITED}
    for name, (value, _) in said.items():
        match value.lower():
            case "inherit" if name in parent:
                style[name] = parent[name]
            case "initial":
                style.pop(name, None)
            case "inherit" | "unset" | "revert":
                pass
            case _ if _is_said_well(name, value):
                style[name] = value
    return style


def current_colour(style: Style) -> Colour:
    """Return what `currentColor` means here."""
    return parse_colour(style.get("color", "")) or BLACK


def paint_server(value: str) -> tuple[str, str]:
    """Return the id that `url(#id) fallback` names, and the fallback; two empty texts for paints of another kind."""
    if not value.lower().startswith("url("):
        return "", ""
    target, _, fallback = value[4:].partition(")")
    return target.strip(" \t\r\n\"'").removeprefix("#"), fallback.strip()


def _is_said_well(name: str, value: str) -> bool:
    if name in _PAINTS:
        plain = value.lower()
        return plain in ("none", "currentcolor") or plain.startswith("url(") or parse_colour(value) is not None
    if name in _COLOURS:
        return parse_colour(value) is not None or (name == "stop-color" and value.lower() == "currentcolor")
    return bool(value)
