"""How pages are made: templates in which all that comes from data is escaped, and one style sheet for all of them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that HTML may not hold or that nobody would see, but for line ends and tabs."""


def render(template: str, *more_style: str, **names: Any) -> str:
    """Return a page as HTML, with the style of all pages and that of these files behind it.

    Everything that comes from data is escaped, and characters that cannot be shown are named, as ⟨U+0007⟩.
    """
    page = _templates().get_template(template).render(style=_style_sheet(*more_style), **names)
    return _UNPRINTABLE.sub(lambda unprintable: f"⟨U+{ord(unprintable[0]):04X}⟩", page)


@cache
def _templates() -> Environment:
    """Return the templates by their file's name. A name that a template lacks is an error."""
    environment = Environment(
        loader=PackageLoader("finesight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment


def _style_sheet(*more: str) -> Markup:
    folder = files("finesight.report") / "templates"
    return Markup("\n".join((folder / name).read_text(encoding="utf-8") for name in ("style.css", *more)))


def unbroken(text: str) -> str:
    """Return `text` with figures that no line end parts from their unit or their sign."""
    return re.sub(r"(?<=\d) (?=%|points\b)|(?<=±) (?=\d)", "\N{NO-BREAK SPACE}", text)


def in_one_piece(words: str) -> str:
    """Return a figure with its interval so that no line ends within either."""
    return unbroken(words).replace(", ", ",\N{NO-BREAK SPACE}")
