"""How pages are made: templates in which all that comes from data is escaped, and one style sheet for all of them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


@cache
def page_templates() -> Environment:
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


def style_sheet(*more: str) -> Markup:
    """Return the style of all pages, and behind it the files of these names."""
    folder = files("finesight.report") / "templates"
    return Markup("\n".join((folder / name).read_text(encoding="utf-8") for name in ("style.css", *more)))


def unbroken(text: str) -> str:
    """Return `text` with figures that no line end parts from their unit or their sign."""
    return re.sub(r"(?<=\d) (?=%|points\b)|(?<=±) (?=\d)", "\N{NO-BREAK SPACE}", text)
