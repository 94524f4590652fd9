"""As much of CSS as drawings use: declarations, and rules by element, class, id or any mixture of the three."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from finesight.data.svg.markup import Element
from finesight.errors import DataError

MAX_RULES = 1_000

_COMPOUND = re.compile(r"(?:\*|[a-zA-Z][\w-]*)?(?:[.#][\w-]+)*$")
_PART = re.compile(r"[.#]?[\w-]+")

Declarations = dict[str, tuple[str, bool]]
"""Property to value, and whether it is `!important`."""


@dataclass(frozen=True, slots=True)
class _Rule:
    element: str
    """Empty for any."""
    identifier: str
    classes: frozenset[str]
    declarations: Declarations
    order: int

    @property
    def specificity(self) -> tuple[int, int, int, int]:
        return bool(self.identifier), len(self.classes), bool(self.element), self.order

    def fits(self, element: Element, classes: frozenset[str]) -> bool:
        identifier = element.attributes.get("id", "")
        return self.element in ("", element.name) and self.identifier in ("", identifier) and self.classes <= classes


@dataclass(slots=True)
class StyleSheet:
    """All rules of a drawing."""

    rules: dict[str, list[_Rule]] = field(default_factory=lambda: defaultdict(list))
    """By what they name first: `#id`, else `.class`, else the element, else nothing."""
    skipped: list[Declarations] = field(default_factory=list)
    """What rules say whose selectors are not followed: descendants, attributes, states, whatever is within an `@`."""

    def declarations_for(self, element: Element) -> Declarations:
        """Return what the rules say of an element; the more specific rule, then the later one, wins."""
        if not self.rules:
            return {}
        classes = frozenset(element.attributes.get("class", "").split())
        names = [f"#{element.attributes.get('id', '')}", element.name, "", *(f".{name}" for name in classes)]
        fitting = [rule for name in names for rule in self.rules.get(name, ()) if rule.fits(element, classes)]
        return overlay(*(rule.declarations for rule in sorted(fitting, key=lambda rule: rule.specificity)))


def overlay(*layers: Declarations) -> Declarations:
    """Return the declarations of all layers; a later one wins, unless only the earlier one is important."""
    merged: Declarations = {}
    for layer in layers:
        for name, (value, important) in layer.items():
            if important or not merged.get(name, ("", False))[1]:
                merged[name] = (value, important)
    return merged


def parse_declarations(text: str) -> Declarations:
    """Return what `fill: red; stroke: none` declares; what is no declaration is passed over."""
    declared: Declarations = {}
    for declaration in _without_comments(text).split(";"):
        name, colon, value = declaration.partition(":")
        bare, _, mark = value.rpartition("!")
        important = mark.strip().lower() == "important"
        value = bare.strip() if important else value.strip()
        if colon and value:
            declared[name.strip().lower()] = (value, important)
    return declared


def read_style_sheet(root: Element) -> StyleSheet:
    """Return the rules of all `<style>` elements. Raises `DataError` when there are more than a thousand."""
    sheet, count = StyleSheet(), 0
    for style in (element for element in root.walk() if element.name == "style"):
        for selectors, body in _blocks(_without_comments("".join(style.text))):
            declarations = parse_declarations(body)
            for selector in selectors.split(","):
                rule = _parse_selector(selector.strip(), declarations, count)
                count += 1
                if count > MAX_RULES:
                    raise DataError(f"more than {MAX_RULES:,} style rules")
                if rule is None:
                    sheet.skipped.append(declarations)
                else:
                    sheet.rules[_first_named(rule)].append(rule)
    return sheet


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the selectors and the body of each rule; of a rule within an `@` rule, selectors that fit nothing."""
    depth = 0
    for block in text.replace("<!--", "").replace("-->", "").split("}"):
        *outer, body = block.split("{")
        depth += len(outer)
        if outer and body.strip():
            yield ("@" if depth > 1 else outer[0].split(";")[-1]), body
        depth = max(0, depth - 1)


def _parse_selector(text: str, declarations: Declarations, order: int) -> _Rule | None:
    if not text or len(text) > 200 or not _COMPOUND.match(text):
        return None
    parts = _PART.findall(text)
    identifiers = [part[1:] for part in parts if part.startswith("#")]
    classes = frozenset(part[1:] for part in parts if part.startswith("."))
    elements = [part for part in parts if part[0] not in ".#"]
    if len(identifiers) > 1:
        return None
    return _Rule("".join(elements), "".join(identifiers), classes, declarations, order)


def _first_named(rule: _Rule) -> str:
    if rule.identifier:
        return f"#{rule.identifier}"
    return f".{min(rule.classes)}" if rule.classes else rule.element


def _without_comments(text: str) -> str:
    first, *others = text.split("/*")
    return first + "".join(other.partition("*/")[2] for other in others)
