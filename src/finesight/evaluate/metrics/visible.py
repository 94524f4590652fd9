"""The characters that a reader sees: two texts that look the same are typed in more than one way."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """Return a text in Unicode NFKC without invisible characters (category Cf): soft hyphens, marks of direction."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(character for character in normal if unicodedata.category(character) != "Cf")
