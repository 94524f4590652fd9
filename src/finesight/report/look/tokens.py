"""Tokens as HTML: what they stand for in colour, what is learned underlined, ids and positions on hover."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from markupsafe import Markup

from finesight import numerals

_SHOWN_BLANKS = {"\n": "↵\n", "\t": "⇥\t", "\r": "␍"}
_UNSEEN = ("Cc", "Cf")
"""Unicode's categories of characters that leave no mark of their own."""


def write_row(row: Mapping[str, Any]) -> Markup:
    """Return all tokens of a row, one behind another."""
    return Markup("").join(write_segment(segment) for segment in row["segments"])


def write_segment(segment: Mapping[str, Any]) -> Markup:
    """Return the tokens of a prefix or of a branch."""
    return Markup("").join(_write_runs(segment["pieces"]))


def visible(text: str) -> str:
    """Return `text` with the characters that nobody would see made visible; line ends stay line ends."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in _SHOWN_BLANKS:
        return _SHOWN_BLANKS[character]
    if unicodedata.category(character) in _UNSEEN:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def _write_runs(pieces: Iterable[Mapping[str, Any]]) -> Iterable[Markup]:
    for (kind, learned), run in groupby(pieces, key=lambda piece: (piece["kind"], piece["learned"])):
        tag = Markup("u" if learned else "span")
        yield Markup('<{0} class="{1}">{2}</{0}>').format(tag, kind, Markup("").join(map(_write_piece, run)))


def _write_piece(piece: Mapping[str, Any]) -> Markup:
    if piece["form"] == "image":
        words, chosen = numerals.plural(len(piece["ids"]), "image token"), Markup(' class="chip"')
    else:
        words = visible(piece["text"])
        chosen = Markup(' class="special"') if piece["form"] == "special" else Markup("")
    return Markup('<i{} title="{}">{}</i>').format(chosen, _describe(piece), words)


def _describe(piece: Mapping[str, Any]) -> str:
    ids, first = piece["ids"], piece["first_position"]
    if len(ids) == 1:
        return f"id {ids[0]}, position {first}"
    names = f"id {ids[0]}" if piece["form"] == "image" else f"ids {' '.join(map(str, ids))}"
    return f"{names}, positions {first} to {first + len(ids) - 1}"
