"""Scenes in English."""

from __future__ import annotations

from collections.abc import Sequence

from finesight.data.scenes.world import Colour, Relation, Rim, Shape, Sheet, Size, Thing

_PIECES: dict[Rim, str] = {"bare": "chip", "lined": "badge", "dashed": "patch"}
_PLURALS: dict[Shape, str] = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "star": "stars",
    "cross": "crosses",
}
_PIECES_PLURAL: dict[Rim, str] = {"bare": "chips", "lined": "badges", "dashed": "patches"}


class English:
    """See `Language`."""

    yes = "yes"
    no = "no"

    def colour(self, colour: Colour) -> str:
        return colour

    def shape(self, shape: Shape) -> str:
        return shape

    def size(self, size: Size) -> str:
        return size

    def relation(self, relation: Relation) -> str:
        return relation

    def is_there(self, shape: Shape, colour: Colour) -> str:
        return f"Is there {_article(colour)} {colour} {shape}?"

    def how_many(self, shape: Shape | None = None, colour: Colour | None = None) -> str:
        what = _PLURALS[shape] if shape else "objects"
        return f"How many {colour} {what} are there?" if colour else f"How many {what} are there?"

    def what_colour(self, shape: Shape, size: Size | None) -> str:
        return f"What colour is the {_listed(size, shape)}?"

    def what_shape(self, colour: Colour, size: Size | None) -> str:
        return f"What shape is the {_listed(size, colour)} object?"

    def what_size(self, thing: Thing) -> str:
        return f"What size is {_the(thing)}?"

    def what_size_is_it(self) -> str:
        return "And what size is it?"

    def where(self, thing: Thing, other: Thing) -> str:
        return f"On which side of {_the(other)} is {_the(thing)}?"

    def is_larger(self, thing: Thing, other: Thing) -> str:
        return f"Is {_the(thing)} larger than {_the(other)}?"

    def describe(self) -> str:
        return "Describe the picture."

    def caption(self, things: Sequence[Thing]) -> str:
        *others, last = (f"a {thing.size} {thing.colour} {thing.shape}" for thing in things)
        return f"{', '.join(others)} and {last}" if others else last

    def what_piece(self, thing: Thing) -> str:
        return f"What do we call {_the(thing)}?"

    def piece(self, rim: Rim) -> str:
        return _PIECES[rim]

    def what_sheet(self) -> str:
        return "Which sheet is it?"

    def sheet(self, sheet: Sheet) -> str:
        return sheet

    def is_there_piece(self, rim: Rim) -> str:
        return f"Is there a {_PIECES[rim]}?"

    def how_many_pieces(self, rim: Rim) -> str:
        return f"How many {_PIECES_PLURAL[rim]} are there?"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _listed(*words: str | None) -> str:
    return " ".join(filter(None, words))


def _the(thing: Thing) -> str:
    return f"the {thing.colour} {thing.shape}"
